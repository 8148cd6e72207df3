/**
 * Chain verification for X.509-SVIDs (RFC 5280 section 6, and
 * https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 5) over WebCrypto.
 */
import { parseSpiffeId } from './spiffe.ts';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from './x509.ts';

/** Longest chain that is verified, not counting the root. */
const MAX_CHAIN = 6;
const OID = { san: '2.5.29.17', keyUsage: '2.5.29.15', basicConstraints: '2.5.29.19', extendedKeyUsage: '2.5.29.37' };
const OID_NAME_CONSTRAINTS = '2.5.29.30';
const UNDERSTOOD = new Set(Object.values(OID));

export type ChainErrorCode =
  | 'no-certificate'
  | 'malformed'
  | 'chain-too-long'
  | 'expired'
  | 'not-yet-valid'
  | 'unknown-authority'
  | 'not-a-leaf'
  | 'wrong-usage'
  | 'no-spiffe-id'
  | 'wrong-trust-domain';

/** Why a chain is refused. The message holds no key material and fits on one line. */
export class ChainError extends Error {
  override name = 'ChainError';
  readonly code: ChainErrorCode;
  constructor(code: ChainErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface VerifyOptions {
  /** The chain as sent, leaf first (the rest in any order), DER. */
  chain: readonly Uint8Array[];
  /** Roots of the trust domain. */
  roots: readonly X509Certificate[];
  /** Configured issuers, for peers that send only their leaf. */
  intermediates?: readonly X509Certificate[];
  /** Milliseconds since the epoch. */
  now: number;
  /** What the peer uses the certificate for. */
  purpose: 'client' | 'server';
  /** When set, the leaf's SPIFFE id must be of this trust domain. */
  trustDomain?: string;
}

export interface VerifiedSvid {
  spiffeId: string;
  trustDomain: string;
  /** Milliseconds since the epoch when the first certificate of the path expires. */
  notAfter: number;
  /** Leaf first, root last. */
  path: X509Certificate[];
}

/**
 * Verifies an X.509-SVID: a path from the leaf to one of `roots`, all of it within its validity, every issuer is a CA
 * within its path length, the leaf is no CA and has exactly one URI, a SPIFFE id with a path.
 * @throws ChainError
 */
export async function verifyChain(options: VerifyOptions): Promise<VerifiedSvid> {
  const path = await verifyPath(options);
  const spiffeId = spiffeIdOf(path[0]!);
  const { trustDomain } = parseSpiffeId(spiffeId);
  if (options.trustDomain !== undefined && trustDomain !== options.trustDomain) {
    throw new ChainError('wrong-trust-domain', `trust domain "${trustDomain}" is not "${options.trustDomain}"`);
  }
  return { spiffeId, trustDomain, notAfter: Math.min(...path.map(notAfter)), path };
}

/** As `verifyChain`, but no SPIFFE id is required: for servers identified by DNS name. @throws ChainError */
export async function verifyPath(options: VerifyOptions): Promise<X509Certificate[]> {
  const [leaf, ...others] = parseAll(options.chain);
  if (!leaf) throw new ChainError('no-certificate', 'no certificate was presented');
  checkValidity(leaf, options.now);
  checkLeaf(leaf, options.purpose);
  const issuers = [...others, ...(options.intermediates ?? [])];
  const rest = await climb(leaf, issuers, options, 0);
  if (!rest) {
    throw new ChainError('unknown-authority', 'certificate does not chain to a root of the trust bundle');
  }
  return [leaf, ...rest];
}

/** The one URI name of a leaf. @throws ChainError no-spiffe-id unless it is exactly one, a SPIFFE id with a path */
export function spiffeIdOf(leaf: X509Certificate): string {
  const uris = uriNames(leaf);
  const [uri] = uris;
  if (uris.length !== 1 || uri === undefined) {
    throw new ChainError('no-spiffe-id', `certificate has ${uris.length} URI names, an X.509-SVID has exactly one`);
  }
  try {
    if (parseSpiffeId(uri).path !== '') return uri;
  } catch (error) {
    throw new ChainError('no-spiffe-id', (error as Error).message);
  }
  throw new ChainError('no-spiffe-id', 'certificate of a workload must have a SPIFFE id with a path');
}

/** Subject, else the first name, of a certificate, for messages. */
export function describeCertificate(certificate: X509Certificate): string {
  return certificate.subject || certificate.serialNumber;
}

function parseAll(chain: readonly Uint8Array[]): X509Certificate[] {
  if (chain.length > MAX_CHAIN) throw new ChainError('chain-too-long', `chain has more than ${MAX_CHAIN} certificates`);
  try {
    return chain.map((der) => new X509Certificate(new Uint8Array(der)));
  } catch {
    throw new ChainError('malformed', 'certificate cannot be parsed');
  }
}

/**
 * The path from `child`'s issuer to a root, or undefined. `below` counts the CAs already under that issuer. Depth and
 * candidates are both bounded, and a signature is checked only where names match.
 */
async function climb(
  child: X509Certificate,
  issuers: readonly X509Certificate[],
  options: VerifyOptions,
  below: number,
): Promise<X509Certificate[] | undefined> {
  for (const root of options.roots) {
    if (isValid(root, options.now) && (await issued(root, child, below))) return [root];
  }
  if (below >= MAX_CHAIN) return undefined;
  for (const issuer of issuers) {
    if (issuer === child || !isValid(issuer, options.now) || !(await issued(issuer, child, below))) continue;
    const remaining = issuers.filter((other) => other !== issuer);
    // A self-issued CA does not count against the path length (RFC 5280 section 6.1.4 (l)).
    const rest = await climb(issuer, remaining, options, below + (sameName(issuer, issuer) ? 0 : 1));
    if (rest) return [issuer, ...rest];
  }
  return undefined;
}

/** Whether `issuer` may have and has signed `child`, with `below` CAs between it and the leaf. */
async function issued(issuer: X509Certificate, child: X509Certificate, below: number): Promise<boolean> {
  if (!sameName(child, issuer) || !isAuthority(issuer)) return false;
  const limit = issuer.getExtension(BasicConstraintsExtension)?.pathLength;
  if (limit !== undefined && below > limit) return false;
  try {
    return await child.verify({ publicKey: issuer, signatureOnly: true });
  } catch {
    return false;
  }
}

/** A CA that may sign certificates and has no critical extension that is unknown here. */
export function isAuthority(certificate: X509Certificate): boolean {
  if (!extensionsUnderstood(certificate)) return false;
  if (certificate.getExtension(BasicConstraintsExtension)?.ca !== true) return false;
  const usage = certificate.getExtension(KeyUsagesExtension);
  return usage === null || (usage.usages & KeyUsageFlags.keyCertSign) !== 0;
}

/** Byte for byte, as strict verifiers (webpki) compare names. */
function sameName(child: X509Certificate, issuer: X509Certificate): boolean {
  const a = new Uint8Array(child.issuerName.toArrayBuffer());
  const b = new Uint8Array(issuer.subjectName.toArrayBuffer());
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function checkLeaf(leaf: X509Certificate, purpose: 'client' | 'server'): void {
  if (!extensionsUnderstood(leaf)) {
    throw new ChainError('malformed', 'certificate has a duplicate, or a critical and unknown, extension');
  }
  const usages = leaf.getExtension(KeyUsagesExtension)?.usages;
  const signsCertificates =
    usages !== undefined && (usages & (KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)) !== 0;
  if (leaf.getExtension(BasicConstraintsExtension)?.ca || signsCertificates) {
    throw new ChainError('not-a-leaf', "an authority's certificate does not identify a workload");
  }
  if (usages !== undefined && (usages & KeyUsageFlags.digitalSignature) === 0) {
    throw new ChainError('wrong-usage', 'certificate is not meant for digital signatures');
  }
  const wanted = purpose === 'client' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth;
  const extended = leaf.getExtension(ExtendedKeyUsageExtension)?.usages;
  if (extended && !extended.includes(wanted)) {
    throw new ChainError('wrong-usage', `certificate is not meant for TLS ${purpose}s`);
  }
}

/** Name constraints are not implemented: a certificate that has them is refused, whether or not marked critical. */
function extensionsUnderstood(certificate: X509Certificate): boolean {
  const types = certificate.extensions.map((extension) => extension.type);
  if (new Set(types).size !== types.length || types.includes(OID_NAME_CONSTRAINTS)) return false;
  return certificate.extensions.every((extension) => !extension.critical || UNDERSTOOD.has(extension.type));
}

function uriNames(leaf: X509Certificate): string[] {
  try {
    const names = leaf.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
    return names.filter((name) => name.type === 'url').map((name) => name.value);
  } catch {
    throw new ChainError('malformed', "certificate's subject alternative names cannot be parsed");
  }
}

function checkValidity(certificate: X509Certificate, now: number): void {
  if (now < certificate.notBefore.getTime()) {
    throw new ChainError(
      'not-yet-valid',
      `certificate is not valid before ${certificate.notBefore.toISOString()}, this machine's clock is at ${new Date(now).toISOString()}`,
    );
  }
  if (now > certificate.notAfter.getTime()) {
    throw new ChainError('expired', `certificate expired at ${certificate.notAfter.toISOString()}`);
  }
}

function isValid(certificate: X509Certificate, now: number): boolean {
  return now >= certificate.notBefore.getTime() && now <= certificate.notAfter.getTime();
}

const notAfter = (certificate: X509Certificate): number => certificate.notAfter.getTime();
