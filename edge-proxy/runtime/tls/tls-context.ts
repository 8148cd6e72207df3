/** TLS contexts on node:tls, shared by Node, Bun and Deno. Immutable: a rotation makes a new context. */
import { constants, createHash, X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { KEY_USAGE_BITS, readCertificate } from '../../../shared/identity/certificate.ts';
import { readRevocationLists } from '../../x509/crl.ts';
import { pemCertificates, readRoots, type TrustedRoots } from '../../x509/trusted-path.ts';
import { type ChainRules, type PeerNames, type VerifiedPeer, verifyPeer } from '../../x509/verify-peer.ts';
import type { ClientTlsOptions, OwnCertificate, PeerTrust, ServerTlsOptions, TlsContext, TlsInfo } from '../runtime.ts';
import { clientSecureContext } from './client-secure-context.ts';
import { checkKeyPair } from './key-pair.ts';
import { peerFacts } from './peer-facts.ts';
import type { RevokedPeers } from './revoked-peers.ts';

interface PeerRules {
  readonly roots: TrustedRoots | undefined;
  /** By trust domain; where it is set, `roots` is not asked. */
  readonly trustDomains: ReadonlyMap<string, TrustedRoots> | undefined;
  readonly pins: PeerTrust['pins'];
  readonly acceptNames: ((names: PeerNames) => boolean) | undefined;
  readonly chainRules: ChainRules;
  readonly acceptUntrusted: boolean;
  /** URI names of the own certificate. */
  readonly localUris: readonly string[];
}

export interface ServerContext extends TlsContext, PeerRules {
  readonly kind: 'server';
  readonly certificate: OwnCertificate;
  readonly requireCertificate: boolean;
  /** Fed by `emit('connection')`; never listens. */
  readonly server: tls.Server;
  /** A server with the same options for one handshake alone. */
  readonly another: () => tls.Server;
  /** Handshakes under way, by the connection's four addresses. */
  readonly waiting: Map<string, (socket: tls.TLSSocket) => void>;
  readonly failures: Map<string, Error>;
}

/** Of one configuration; what is costly in it is shared with all that dial with the same keys and parameters. */
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
  const { uris, ...certificate } = checkKeyPair(options.keyPair);
  const rules = peerRules(options);
  const asks = verifies(rules) || rules.pins !== undefined || rules.acceptUntrusted;
  if (options.requireClientCertificate && !asks)
    throw new Error('TLS: requireClientCertificate needs trusted roots to verify the certificates with');
  // As Envoy: who restricts names or pins certificates wants one.
  const restricts = rules.acceptNames !== undefined || rules.pins !== undefined;
  const announced = announcedRoots(options);
  const settings: tls.TlsOptions = {
    cert: options.keyPair.certificateChain,
    key: options.keyPair.privateKey,
    // Roots are announced to clients; the judgement is verifyPeer's.
    ...(announced.length === 0 ? {} : { ca: announced }),
    requestCert: asks,
    rejectUnauthorized: false,
    minVersion: options.minVersion,
    maxVersion: options.maxVersion,
    // Tickets would carry a peer's identity past verification (Node across contexts, Deno everywhere).
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(options.alpn.length > 0
      ? { ALPNCallback: ({ protocols }: { protocols: string[] }) => chooseProtocol(options.alpn, protocols) }
      : {}),
    ...chosenCiphers(options),
    handshakeTimeout: 15_000,
    allowHalfOpen: true,
  };
  const server = tls.createServer(settings);
  const context: ServerContext = {
    kind: 'server',
    ...rules,
    certificate,
    localUris: uris,
    requireCertificate: options.requireClientCertificate || (restricts && !rules.acceptUntrusted),
    server,
    another: () => tls.createServer(settings),
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
  const localUris = options.keyPair ? checkKeyPair(options.keyPair).uris : [];
  const announced = announcedRoots(options);
  return {
    kind: 'client',
    ...peerRules(options),
    localUris,
    secureContext: clientSecureContext({
      ...(options.keyPair ? { cert: options.keyPair.certificateChain, key: options.keyPair.privateKey } : {}),
      ...(announced.length === 0 ? {} : { ca: announced }),
      ...chosenCiphers(options),
      minVersion: options.minVersion,
      maxVersion: options.maxVersion,
    }),
    serverName: options.serverName,
    alpn: options.alpn.length > 0 ? [...options.alpn] : undefined,
  };
}

type Trust = PeerTrust & { readonly trustedRoots: string | undefined };

/** @throws Error when roots cannot be read */
function peerRules(options: Trust): Omit<PeerRules, 'localUris'> {
  const { trustedRoots, trustDomains, pins } = options;
  return {
    chainRules: chainRules(options),
    acceptUntrusted: options.acceptUntrusted ?? false,
    roots: trustedRoots === undefined ? undefined : readRoots(trustedRoots),
    trustDomains: trustDomains && new Map(trustDomains.map(({ name, roots }) => [name, readRoots(roots)])),
    pins: pins && (pins.certificates.length > 0 || pins.keys.length > 0) ? pins : undefined,
    acceptNames: options.acceptNames,
  };
}

function chainRules({ crl, crlOfLeafOnly, allowExpired = false, maxDepth, trustedRoots }: Trust): ChainRules {
  // Envoy takes the lists that stand among the roots for such as well.
  const lists = [crl ?? '', trustedRoots ?? ''].flatMap(readRevocationLists);
  if (crl !== undefined && readRevocationLists(crl).length === 0) throw new Error('crl holds no revocation list (PEM)');
  const revocation = lists.length > 0 ? { lists, leafOnly: crlOfLeafOnly ?? false, allowExpired } : undefined;
  if (revocation && trustedRoots === undefined)
    throw new Error('crl: there is no trusted root to verify certificates with');
  return { revocation, allowExpired, maxDepth };
}

function verifies(rules: Pick<PeerRules, 'roots' | 'trustDomains'>): boolean {
  return rules.roots !== undefined || rules.trustDomains !== undefined;
}

function announcedRoots({ trustedRoots, trustDomains }: Trust): string[] {
  return [trustedRoots ?? '', ...(trustDomains ?? []).map(({ roots }) => roots)].flatMap(pemCertificates);
}

/** TLS 1.3 has its own suites, which stay: a list for 1.2 must not turn 1.3 off. */
const TLS13_SUITES = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'];

function chosenCiphers(options: Pick<ClientTlsOptions, 'cipherSuites' | 'curves' | 'signatureAlgorithms'>) {
  const { cipherSuites = [], curves = [], signatureAlgorithms = [] } = options;
  return {
    ...(signatureAlgorithms.length > 0 ? { sigalgs: signatureAlgorithms.join(':') } : {}),
    ...(cipherSuites.length > 0 ? { ciphers: [...TLS13_SUITES, ...cipherSuites].join(':') } : {}),
    ...(curves.length > 0 ? { ecdhCurve: curves.join(':') } : {}),
  };
}

/** The roots that decide about a leaf: those of its own trust domain where there are several. */
function rootsFor(leaf: Uint8Array, rules: PeerRules): TrustedRoots | undefined {
  if (!rules.trustDomains) return rules.roots;
  const { uris } = readCertificate(leaf);
  const domain = uris.length === 1 ? /^spiffe:\/\/([^/]+)\//.exec(uris[0]!)?.[1] : undefined;
  const roots = domain === undefined ? undefined : rules.trustDomains.get(domain);
  if (!roots) throw new Error('TLS: peer certificate is of no trust domain that is trusted');
  return roots;
}

/** Pins hold besides the chain, or alone where no root is given (Envoy's verify_certificate_hash and _spki). */
function requirePin(leaf: Uint8Array, pins: NonNullable<PeerTrust['pins']>): void {
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  if (pins.certificates.includes(sha256(leaf))) return;
  const key = new X509Certificate(leaf).publicKey.export({ type: 'spki', format: 'der' });
  if (!pins.keys.includes(sha256(key))) throw new Error('TLS: peer certificate is none of those that are pinned');
}

/**
 * Server order wins. Envoy continues without a protocol when none is shared, which node:tls cannot; Istio's own markers
 * (`istio`, `istio-http/1.1` …) name no other wire format, so those are agreed to; `istio-peer-exchange` does: metadata in
 * front of the stream. Else the handshake fails.
 */
function chooseProtocol(ours: readonly string[], offered: readonly string[]): string | undefined {
  return ours.find((name) => offered.includes(name)) ?? offered.find(isIstioMarker);
}

const isIstioMarker = (name: string): boolean => name.startsWith('istio') && name !== 'istio-peer-exchange';

/**
 * Reads and judges the peer of a finished handshake.
 * @throws Error with the reason; the caller closes the connection before a byte is delivered
 */
export function judgePeer(
  socket: tls.TLSSocket,
  context: ServerContext | ClientContext,
  revoked: RevokedPeers,
): TlsInfo {
  const peerChain = sentChain(socket);
  const mustPresent =
    context.kind === 'client' ? verifies(context) || context.pins !== undefined : context.requireCertificate;
  if (peerChain.length === 0 && mustPresent) throw new Error('TLS: peer sent no certificate');
  const role = context.kind === 'server' ? 'client' : 'server';
  const verified = verifiedPeer(peerChain, context, role);
  // Of a client that is verified it was asked already.
  if (peerChain[0] && (role === 'server' || !verified)) requireKeyUsage(peerChain[0], socket, role);
  const facts = peerFacts(peerChain, verified);
  revoked.check(facts.peerSerial ?? '');
  return {
    // Node's types leave out that a client which sent no SNI has `false` here, on Deno `null`.
    serverName: (socket as { servername?: string | false | null }).servername || '',
    alpn: socket.alpnProtocol || '',
    version: socket.getProtocol() ?? '',
    ...facts,
    localUris: context.localUris,
  };
}

/**
 * What its key was used for in the handshake must be what it is for, whichever root it chains to (RFC 8446 4.4.2.2, as BoringSSL).
 * @throws Error where it is not
 */
function requireKeyUsage(leaf: Uint8Array, socket: tls.TLSSocket, role: 'client' | 'server'): void {
  const { keyUsage } = readCertificate(leaf);
  if (keyUsage === undefined || keyUsage & KEY_USAGE_BITS.digitalSignature) return;
  // Suites of TLS 1.2 whose name begins with the cipher send the secret to the server's key instead.
  const encrypts = role === 'server' && /^(AES|DES|CAMELLIA)/.test(socket.getCipher().name);
  if (!encrypts || !(keyUsage & KEY_USAGE_BITS.keyEncipherment))
    throw new Error('TLS: peer certificate has a key that is not for signatures');
}

/**
 * @returns undefined where nothing is asked of the peer, or where what is asked need not be met
 * @throws Error with the reason
 */
function verifiedPeer(
  chain: readonly Uint8Array[],
  context: ServerContext | ClientContext,
  role: 'client' | 'server',
): VerifiedPeer | undefined {
  try {
    const leaf = chain[0];
    const roots = leaf && rootsFor(leaf, context);
    const verified = roots ? verifyPeer(chain, roots, role, Date.now(), context.chainRules) : undefined;
    if (leaf && context.pins) requirePin(leaf, context.pins);
    if (verified && context.acceptNames && !context.acceptNames(verified))
      throw new Error('TLS: peer certificate has none of the accepted names');
    if (context.kind === 'client' && context.acceptNames && !verified)
      throw new Error('TLS: peer names are restricted but no trusted root was given to verify them with');
    return verified;
  } catch (error) {
    if (context.acceptUntrusted) return undefined;
    throw error;
  }
}

/** The peer's chain, leaf first, at most 6 certificates. */
function sentChain(socket: tls.TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let current: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (current?.raw && chain.length < 6) {
    const selfSigned = current.issuerCertificate === current;
    // The runtime completes a chain by the root it trusts, which peers do not send.
    if (!selfSigned || chain.length === 0) chain.push(current.raw);
    if (selfSigned) break;
    current = current.issuerCertificate;
  }
  return chain;
}
