/** The control API's HTTPS server: its certificate from its own CA, its callers' certificates verified by Tulle. */
import { constants, createPrivateKey, X509Certificate } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import {
  type AddressInfo,
  createServer as createTcpServer,
  isIP,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import { createServer, type PeerCertificate, type TLSSocket, type TlsOptions } from 'node:tls';
import { MAX_SENT } from '../../../shared/identity/chain-path.ts';
import { ChainError } from '../../../shared/identity/verify.ts';
import type { Log } from '../../../shared/log/log.ts';
import type { Authority, ServerCertificate } from '../../ca/authority.ts';
import { type Joins, revokedError } from '../../ca/joins.ts';
import { limitedLog } from '../../telemetry/limited-log.ts';
import type { ApiEnv } from '../caller.ts';
import { BodyBudget } from './body-budget.ts';
import { type ClientIdentity, verifyClientChain } from './client-chain.ts';
import { ConnectionCounts, type ConnectionLimits, type Place } from './connection-limits.ts';
import { type HostNames, hostNames, watchHostNames } from './host-names.ts';
import { Http2Connections } from './http2-connections.ts';
import { type FetchHandler, nodeListener, serveFetch } from './node-listener.ts';
import { SlicedQueue } from './sliced-queue.ts';
import { namesWorkload, type UserCertificate, type UserCertificates } from './user-certificates.ts';

/** One more certificate than `verifyClientChain` takes: it refuses a longer chain itself. */
const MAX_CHAIN = MAX_SENT + 1;
/** As long as a proxy waits at most for a connection (`edge-proxy/control-client`). */
const HANDSHAKE_TIMEOUT_MS = 20_000;
/** Milliseconds, from the first byte: the head of a request, and all of it. `check`: how often they are looked at. */
const TIMEOUTS = { headMs: 10_000, requestMs: 75_000, checkMs: 2000 };
const MAX_HEADERS = 100;
/** setTimeout's limit is 24.8 days; waking up daily is enough to renew a certificate of 90. */
const MAX_TIMER_MS = 24 * 3_600_000;
const RETRY_MS = 60_000;
const HOST_CHECK_MS = 60_000;
/** From a revocation until open connections of its certificates are closed. */
const REVOKED_MS = 500;
const ON_BUN = process.versions['bun'] !== undefined;

/** A host (a DNS name or an IP address, IPv6 without brackets) and the port; absent: the one that the server listens on. */
export interface Advertised {
  readonly host: string;
  readonly port?: number;
}

export interface TlsServerOptions {
  /** Port 0: chosen by the kernel. */
  listen: { address: string; port: number };
  authority: Authority;
  /** Requests with certificates of revoked joins get a `refusal`, and held ones are ended. Default: there are none. */
  joins?: Pick<Joins, 'ofSerial' | 'touch' | 'onRevoked'>;
  /** Whom certificates of users are verified by. Default: there are none. */
  userCertificates?: UserCertificates | undefined;
  fetch: FetchHandler;
  /** Names and addresses the server is reached by, besides localhost, 127.0.0.1 and ::1. */
  dnsNames?: readonly string[];
  ips?: readonly string[];
  /** What `url` names, as behind a load balancer or a DNS name; its host is put into the certificate. Default: where it listens. */
  advertised?: Advertised;
  /** What this host is reached by, of which a server on all addresses makes its certificate. Default: the machine's. */
  hostNames?: () => HostNames;
  /** How often `hostNames` is compared with the certificate, in milliseconds. Default: a minute. */
  hostCheckMs?: number;
  /** Default: CONNECTION_LIMITS. */
  connections?: Partial<ConnectionLimits>;
  /** Default: TLSv1.3. */
  minTlsVersion?: 'TLSv1.2' | 'TLSv1.3';
  timeouts?: { headMs: number; requestMs: number; checkMs: number; unreadMs?: number };
  /** Milliseconds since the epoch. */
  now?: () => number;
  /** One line on each refused client and failed renewal. */
  log?: Log;
}

export interface TlsServer {
  readonly address: string;
  readonly port: number;
  /** `https://host:port` with a name that the certificate holds. */
  readonly url: string;
  /** As `url`, without what is advertised. */
  readonly ownUrl: string;
  /** Open connections, those in their handshake included. */
  readonly connections: number;
  /** Gives the server a fresh certificate now; connections stay open. It does so by itself at two thirds of the life. */
  renew(): Promise<void>;
  /** Stops accepting and closes open connections. */
  close(): Promise<void>;
}

/**
 * Starts the server. A client may come without a certificate; a connection with a certificate that does not verify is
 * closed. `peerSpiffeId` in the bindings is set for verified ones only.
 * @throws Error naming address and port when it cannot listen
 */
export async function startTlsServer(options: TlsServerOptions): Promise<TlsServer> {
  const {
    authority,
    joins,
    userCertificates,
    log = () => {},
    now = Date.now,
    timeouts = TIMEOUTS,
    advertised,
  } = options;
  const ownNames = options.hostNames ?? hostNames;
  const refused = limitedLog(log, now, 'refused connections');
  const counts = new ConnectionCounts(options.connections);
  const places = new Places();
  const bodies = new BodyBudget();
  const verified = new WeakMap<object, ClientIdentity>();
  const users = new WeakMap<object, UserCertificate>();
  const admissions = new SlicedQueue();
  let certificate = await makeCertificate(options);
  let timer: NodeJS.Timeout | undefined;

  // Two servers, the TLS one handing its sockets over: no byte of a request is parsed before the peer was verified.
  const stop = new AbortController();
  const bindings = (message: IncomingMessage): ApiEnv['Bindings'] => {
    const socket = http2.socketOf(message);
    const user = users.get(socket);
    return {
      ...peerOf(socket, verified.get(socket) ?? user, now),
      ...(user && userOf(user, userCertificates, now())),
      bodies,
      authenticated: (name) => proved(socket, name),
      ...(socket !== message.socket && { retire: () => http2.retire(message) }),
    };
  };
  const http = createHttpServer({
    headersTimeout: timeouts.headMs,
    requestTimeout: timeouts.requestMs,
    connectionsCheckingInterval: timeouts.checkMs,
  });
  http.maxHeadersCount = MAX_HEADERS;
  const listener = nodeListener(joins ? markingRevoked(options.fetch, joins) : options.fetch, bindings, stop.signal);
  serveFetch(http, listener);
  const http2 = new Http2Connections(timeouts);
  serveFetch(http2.server, listener);
  // `noDelay` of the HTTP server is for sockets that it accepts itself. Without it here every second write of an answer
  // waits for the client's delayed ACK, 40 ms.
  const tls = createServer({ ...tlsOptions(certificate, options), noDelay: true });
  // Of a thousand connections at once only some begin their handshake in one turn of the event loop. Bun's TLS server begins
  // those of its own connections alone.
  const accepting = ON_BUN ? tls : createTcpServer({ noDelay: true, pauseOnConnect: true });
  const handshakes = new SlicedQueue();
  const sockets = new Set<TLSSocket>();
  // Includes connections in their handshake: closing would wait for them.
  const raw = new Set<Socket>();
  accepting.on('connection', (socket: Socket) => {
    const place = counts.enter(socket.remoteAddress ?? '');
    if (typeof place === 'string') {
      refused(`refused connection from ${socket.remoteAddress}: ${place}`);
      socket.destroy();
      return;
    }
    raw.add(socket);
    const forget = places.add(socket, place);
    socket.once('close', () => {
      raw.delete(socket);
      forget();
      place.leave();
    });
    if (accepting === tls) return;
    socket.on('error', () => socket.destroy());
    handshakes.add(socket.remoteAddress ?? '', () => void (socket.destroyed || tls.emit('connection', socket)));
  });
  tls.on('tlsClientError', (_error, socket) => socket.destroy());
  tls.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    admissions.add(socket.remoteAddress ?? '', () => admit(socket));
  });

  /** A connection without a certificate is admitted; who it is, a token may say. */
  function admit(socket: TLSSocket): void {
    if (socket.destroyed) return;
    try {
      const chain = presentedChain(socket);
      if (userCertificates && chain[0] && !namesWorkload(chain[0])) {
        const certificate = userCertificates.verify(chain, now());
        users.set(socket, certificate);
        const reason = userCertificates.refusal(certificate, now());
        if (reason === undefined) proved(socket, certificate.user.name);
        else throw new Error(reason);
      } else if (chain.length > 0) {
        const svid = verifyClientChain(chain, authority, now());
        joins?.touch(svid.serial);
        verified.set(socket, svid);
        proved(socket, svid.spiffeId);
      }
    } catch (error) {
      refused(`refused client certificate from ${socket.remoteAddress}: ${(error as Error).message}`);
      socket.destroy();
      return;
    }
    if (socket.destroyed) return;
    if (socket.alpnProtocol === 'h2') http2.take(socket);
    else http.emit('connection', socket);
  }

  const stopRevocations = joins?.onRevoked(() => {
    const cut = [...sockets].filter(
      (socket) => joins.ofSerial(verified.get(socket)?.serial ?? '')?.revoked !== undefined,
    );
    // After the answer to the request by which the join was revoked: it has the reason.
    const closing = setTimeout(() => {
      for (const socket of cut) socket.destroy();
    }, REVOKED_MS);
    closing.unref();
  });

  if (userCertificates)
    userCertificates.onChange = () => {
      for (const socket of sockets) {
        const certificate = users.get(socket);
        if (certificate && userCertificates.refusal(certificate, now()) !== undefined) socket.destroy();
      }
      renew().catch((error: Error) => log(`control API certificate not renewed: ${error.message}`, 'error'));
    };

  /** The connection counts for an identity from now on; one too many of it is closed. */
  function proved(socket: Socket, identity: string): void {
    const limit = places.of(socket)?.proved(identity);
    if (limit === undefined) return;
    refused(`refused connection of ${identity} from ${socket.remoteAddress}: ${limit}`);
    socket.destroy();
  }

  /** One after the other: a certificate that was begun earlier, for other names, must not replace a later one. */
  let renewing: Promise<void> = Promise.resolve();
  function renew(): Promise<void> {
    renewing = renewing
      .catch(() => {})
      .then(async () => {
        certificate = await makeCertificate(options);
        // setSecureContext builds the context from these options alone: all of them, each time.
        tls.setSecureContext(tlsOptions(certificate, options));
      });
    return renewing;
  }

  function schedule(wait: number): void {
    timer = setTimeout(
      () => {
        const due = renewalTime(certificate) - now();
        if (due > 0) return schedule(due);
        renew().then(
          () => schedule(renewalTime(certificate) - now()),
          (error: Error) => {
            log(`control API certificate not renewed: ${error.message}`, 'error');
            schedule(RETRY_MS);
          },
        );
      },
      Math.min(Math.max(wait, 1000), MAX_TIMER_MS),
    );
    timer.unref();
  }

  // The inner server never listens itself; this starts its watch over slow request heads.
  accepting.on('listening', () => http.emit('listening'));
  const bound = await listen(accepting, options.listen);
  schedule(renewalTime(certificate) - now());
  const stopWatch = isWildcard(options.listen.address)
    ? watchHostNames({ names: ownNames, everyMs: options.hostCheckMs ?? HOST_CHECK_MS, renew, log })
    : () => {};
  return {
    address: bound.address,
    port: bound.port,
    ownUrl: `https://${urlHost(reachedBy(options.listen.address, ownNames))}:${bound.port}`,
    url: `https://${urlHost(advertised?.host ?? reachedBy(options.listen.address, ownNames))}:${advertised?.port ?? bound.port}`,
    get connections() {
      return counts.open;
    },
    renew,
    close: async () => {
      await http2.close();
      return new Promise((resolve) => {
        clearTimeout(timer);
        stopWatch();
        stopRevocations?.();
        // Before the sockets: 'close' events come later than this promise resolves, when the resources that requests use are closed.
        stop.abort();
        accepting.close(() => resolve());
        http.close();
        for (const socket of [...sockets, ...raw]) socket.destroy();
      });
    },
  };
}

/** A request with a revoked certificate has the reason why it is to be refused. */
function markingRevoked(fetch: FetchHandler, joins: Pick<Joins, 'ofSerial'>): FetchHandler {
  return (request, env) => {
    const join = joins.ofSerial(env.peerCertificate?.serial ?? '');
    return fetch(request, join?.revoked === undefined ? env : { ...env, refusal: revokedError(join).message });
  };
}

/** The places of connections, found by the TLS socket of a connection or by the plain one. */
class Places {
  private readonly byPeer = new Map<string, Place>();

  /** @returns forgets it; to be called when the connection is closed */
  add(socket: Socket, place: Place): () => void {
    const key = peerKey(socket);
    this.byPeer.set(key, place);
    return () => void (this.byPeer.get(key) === place && this.byPeer.delete(key));
  }

  of(socket: Socket): Place | undefined {
    return this.byPeer.get(peerKey(socket));
  }
}

/** What tells the connections of one listening socket, which may have several addresses, apart. */
const peerKey = ({ remoteAddress, remotePort, localAddress }: Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress}`;

/** The user of a certificate, unless it or its CA was taken back since the connection was made. */
function userOf(
  certificate: UserCertificate,
  certificates: UserCertificates | undefined,
  nowMs: number,
): Pick<ApiEnv['Bindings'], 'peerUser' | 'refusal'> {
  const reason = certificates?.refusal(certificate, nowMs);
  return reason === undefined ? { peerUser: certificate.user } : { refusal: reason };
}

/** A connection may outlive its client certificate; later requests on it are refused. */
function peerOf(
  socket: Socket,
  peer: ClientIdentity | UserCertificate | undefined,
  now: () => number,
): Pick<ApiEnv['Bindings'], 'peerSpiffeId' | 'peerCertificate' | 'remoteAddress'> {
  if (peer && now() > peer.notAfter) {
    socket.destroy();
    throw new ChainError('expired', 'the client certificate has expired since the connection was made');
  }
  const { remoteAddress } = socket;
  return {
    ...(peer && 'spiffeId' in peer ? { peerSpiffeId: peer.spiffeId, peerCertificate: peer } : {}),
    ...(remoteAddress === undefined ? {} : { remoteAddress }),
  };
}

function makeCertificate(options: TlsServerOptions): Promise<ServerCertificate> {
  const { address } = options.listen;
  const own: HostNames = isWildcard(address) ? (options.hostNames ?? hostNames)() : { addresses: [address] };
  const given = [...(options.dnsNames ?? []), ...(options.ips ?? [])];
  const hosts = ['localhost', '127.0.0.1', '::1', ...given, ...own.addresses];
  if (own.name !== undefined) hosts.push(own.name);
  if (options.advertised) hosts.push(options.advertised.host);
  const unique = [...new Set(hosts)];
  return options.authority.serverCertificate({
    dnsNames: unique.filter((host) => isIP(host) === 0),
    ips: unique.filter((host) => isIP(host) !== 0),
  });
}

function tlsOptions(
  certificate: ServerCertificate,
  { authority, userCertificates, minTlsVersion: minVersion = 'TLSv1.3' }: TlsServerOptions,
): TlsOptions {
  const { certificateChain, privateKey } = certificate;
  // Deno accepts a mismatched pair without an error and then fails every handshake.
  if (!new X509Certificate(certificateChain).checkPrivateKey(createPrivateKey(privateKey))) {
    throw new Error('control API key does not fit its certificate');
  }
  return {
    cert: certificateChain,
    key: privateKey,
    // Sent to clients: those in Go choose no certificate that none of these has issued.
    ca: userCertificates ? [authority.trustBundle, userCertificates.pem] : authority.trustBundle,
    requestCert: true,
    // `authorized` is not reliable on every runtime; `admit` verifies the chain itself.
    rejectUnauthorized: false,
    minVersion,
    ALPNProtocols: ['h2', 'http/1.1'],
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  };
}

/** The chain as sent, DER, leaf first; empty without a certificate. */
function presentedChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let current: PeerCertificate | undefined = socket.getPeerCertificate(true);
  while (current?.raw && chain.length < MAX_CHAIN) {
    chain.push(new Uint8Array(current.raw));
    const issuer: PeerCertificate | undefined = (current as { issuerCertificate?: PeerCertificate }).issuerCertificate;
    current = issuer === current ? undefined : issuer;
  }
  return chain;
}

function renewalTime({ notBefore, notAfter }: ServerCertificate): number {
  return notBefore + ((notAfter - notBefore) * 2) / 3;
}

function listen(server: TcpServer, to: { address: string; port: number }): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
      reject(new Error(`cannot listen on ${to.address} port ${to.port}: ${reason}`, { cause: error }));
    });
    server.listen(to.port, to.address, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      resolve(server.address() as AddressInfo);
    });
  });
}

const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::';

/** By which other hosts reach a server that listens on `address`; without an interface that they reach: localhost. */
function reachedBy(address: string, names: () => HostNames): string {
  return isWildcard(address) ? (names().addresses[0] ?? 'localhost') : address;
}

const urlHost = (host: string): string => (host.includes(':') ? `[${host}]` : host);
