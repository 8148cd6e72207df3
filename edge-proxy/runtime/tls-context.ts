/** TLS contexts on node:tls, shared by Node, Bun and Deno. Immutable: a rotation makes a new context. */
import { constants, createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { readExtensions } from './der.ts';
import type { ClientTlsOptions, KeyPair, PeerNames, ServerTlsOptions, TlsContext, TlsInfo } from './runtime.ts';
import { pemCertificates, readRoots, type TrustedRoots, verifyPeer } from './verify-peer.ts';

interface PeerRules {
  readonly roots: TrustedRoots | undefined;
  readonly acceptNames: ((names: PeerNames) => boolean) | undefined;
  /** URI names of the own certificate. */
  readonly localUris: readonly string[];
}

export interface ServerContext extends TlsContext, PeerRules {
  readonly kind: 'server';
  readonly requireCertificate: boolean;
  /** Fed by `emit('connection')`; never listens. */
  readonly server: tls.Server;
  /** Handshakes under way, by the connection's four addresses. */
  readonly waiting: Map<string, (socket: tls.TLSSocket) => void>;
  readonly failures: Map<string, Error>;
}

export interface ClientContext extends TlsContext, PeerRules {
  readonly kind: 'client';
  readonly secureContext: tls.SecureContext;
  readonly serverName: string | undefined;
  readonly alpn: string[] | undefined;
}

/**
 * The addresses that name one TCP connection: a tls.Server does not say which raw socket a finished handshake had.
 */
export function connectionKey(socket: {
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
  localAddress?: string | undefined;
  localPort?: number | undefined;
}): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`;
}

/** @throws Error in one line when key, certificate or roots do not fit; never shows key material */
export function serverContext(options: ServerTlsOptions): ServerContext {
  const localUris = checkKeyPair(options.keyPair);
  if (options.requireClientCertificate && options.trustedRoots === undefined)
    throw new Error('TLS: requireClientCertificate needs trusted roots to verify the certificates with');
  const asks = options.trustedRoots !== undefined;
  const server = tls.createServer({
    cert: options.keyPair.certificateChain,
    key: options.keyPair.privateKey,
    // Roots are announced to clients; the judgement is verifyPeer's.
    ...(options.trustedRoots === undefined ? {} : { ca: pemCertificates(options.trustedRoots) }),
    requestCert: asks,
    rejectUnauthorized: false,
    minVersion: options.minVersion,
    maxVersion: options.maxVersion,
    // Tickets would carry a peer's identity past verification (Node across contexts, Deno everywhere).
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(options.alpn.length > 0
      ? { ALPNCallback: ({ protocols }: { protocols: string[] }) => chooseProtocol(options.alpn, protocols) }
      : {}),
    ...(options.cipherSuites.length > 0 ? { ciphers: options.cipherSuites.join(':') } : {}),
    handshakeTimeout: 15_000,
    allowHalfOpen: true,
  });
  const context: ServerContext = {
    kind: 'server',
    roots: options.trustedRoots === undefined ? undefined : readRoots(options.trustedRoots),
    acceptNames: options.acceptNames,
    localUris,
    requireCertificate: options.requireClientCertificate,
    server,
    waiting: new Map(),
    failures: new Map(),
  };
  server.on('secureConnection', (socket) => {
    const accept = context.waiting.get(connectionKey(socket));
    if (accept) accept(socket);
    else socket.destroy();
  });
  server.on('tlsClientError', (error, socket) => {
    const key = connectionKey(socket);
    if (context.waiting.has(key)) context.failures.set(key, error);
    socket.destroy();
  });
  return context;
}

/** @throws Error in one line, as serverContext */
export function clientContext(options: ClientTlsOptions): ClientContext {
  const localUris = options.keyPair ? checkKeyPair(options.keyPair) : [];
  return {
    kind: 'client',
    roots: options.trustedRoots === undefined ? undefined : readRoots(options.trustedRoots),
    acceptNames: options.acceptNames,
    localUris,
    secureContext: tls.createSecureContext({
      ...(options.keyPair ? { cert: options.keyPair.certificateChain, key: options.keyPair.privateKey } : {}),
      ...(options.trustedRoots === undefined ? {} : { ca: pemCertificates(options.trustedRoots) }),
      minVersion: options.minVersion,
      maxVersion: options.maxVersion,
    }),
    serverName: options.serverName,
    alpn: options.alpn.length > 0 ? [...options.alpn] : undefined,
  };
}

/**
 * Server order wins. Envoy goes on without a protocol when none is shared, which node:tls cannot; Istio's own markers
 * (`istio`, `istio-http/1.1` …) name no other wire format, so those are agreed to. Else the handshake fails.
 */
function chooseProtocol(ours: readonly string[], offered: readonly string[]): string | undefined {
  return ours.find((name) => offered.includes(name)) ?? offered.find((name) => name.startsWith('istio'));
}

/**
 * Deno takes a mismatched pair without a word and then fails every handshake; so it is checked here, everywhere.
 * @returns the URI names of the leaf
 */
function checkKeyPair(pair: KeyPair): readonly string[] {
  const leaf = pemCertificates(pair.certificateChain)[0];
  if (!leaf) throw new Error('TLS: the certificate chain holds no certificate');
  let matches: boolean;
  let uris: readonly string[];
  try {
    const certificate = new X509Certificate(leaf);
    matches = certificate.checkPrivateKey(createPrivateKey(pair.privateKey));
    uris = readExtensions(certificate.raw).uris;
  } catch {
    throw new Error('TLS: the certificate or its private key cannot be read (PEM expected)');
  }
  if (!matches) throw new Error('TLS: the private key does not belong to the certificate');
  return uris;
}

/**
 * Reads and judges the peer of a finished handshake.
 * @throws Error with the reason; the caller closes the connection before a byte is delivered
 */
export function judgePeer(socket: tls.TLSSocket, context: ServerContext | ClientContext): TlsInfo {
  const peerChain = sentChain(socket);
  const mustPresent = context.kind === 'client' ? context.roots !== undefined : context.requireCertificate;
  if (peerChain.length === 0 && mustPresent) throw new Error('TLS: peer sent no certificate');
  const role = context.kind === 'server' ? 'client' : 'server';
  const verified =
    context.roots && peerChain.length > 0 ? verifyPeer(peerChain, context.roots, role, Date.now()) : undefined;
  if (verified && context.acceptNames && !context.acceptNames(verified))
    throw new Error('TLS: peer certificate has none of the accepted names');
  if (context.kind === 'client' && context.acceptNames && !verified)
    throw new Error('TLS: peer names are restricted but no trusted root was given to verify them with');
  return {
    // Node's types leave out that a client which sent no SNI has `false` here, on Deno `null`.
    serverName: (socket as { servername?: string | false | null }).servername || '',
    alpn: socket.alpnProtocol || '',
    version: socket.getProtocol() ?? '',
    peerChain,
    peerUris: verified?.uris ?? [],
    peerDns: verified?.dns ?? [],
    peerSubject: verified?.subject ?? '',
    peerHash: verified ? createHash('sha256').update(peerChain[0]!).digest('hex') : '',
    localUris: context.localUris,
  };
}

/** The peer's chain, leaf first, at most 6 certificates. */
function sentChain(socket: tls.TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let current: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (current?.raw && chain.length < 6) {
    chain.push(current.raw);
    if (current.issuerCertificate === current) break;
    current = current.issuerCertificate;
  }
  return chain;
}
