/**
 * Chain verification for X.509-SVIDs (https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 5) over
 * WebCrypto. The rules of paths are those of chain-path.ts, as in the proxy.
 */
import { type CertificateFacts, readCertificate } from './certificate.ts';
import { ChainError, findPathLater, mayIssue, type Role, requireLength, searchPath } from './chain-path.ts';
import { identityOf, type SvidIdentity, spiffeIdIn } from './svid-identity.ts';
import { X509Certificate } from './x509.ts';

export { ChainError, type ChainErrorCode } from './chain-path.ts';
export { identityOf, type SvidIdentity, type Validity } from './svid-identity.ts';

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
  purpose: Role;
  /** When set, the leaf's SPIFFE id must be of this trust domain. */
  trustDomain?: string;
}

export interface VerifiedSvid extends SvidIdentity {
  /** Leaf first, root last. */
  path: X509Certificate[];
}

/**
 * Verifies an X.509-SVID: a path from the leaf to one of `roots`, all of it within its validity; the leaf has exactly one
 * URI, a SPIFFE id with a path.
 * @throws ChainError
 */
export async function verifyChain(options: VerifyOptions): Promise<VerifiedSvid> {
  const path = await verifyPath(options);
  const identity = identityOf(
    path.map(({ facts }) => facts),
    options.trustDomain,
  );
  return { ...identity, path: path.map(({ x509 }) => x509) };
}

export interface PathCertificate {
  readonly facts: CertificateFacts;
  readonly x509: X509Certificate;
}

/**
 * A path from the leaf of a chain to one of `roots`, all of it within its validity. What the leaf's names must be is the
 * caller's affair.
 * @returns leaf first, root last
 * @throws ChainError
 */
export async function verifyPath(options: Omit<VerifyOptions, 'trustDomain'>): Promise<readonly PathCertificate[]> {
  requireLength(options.chain.length);
  return findPathLater(
    searchPath({
      chain: options.chain.map(read),
      intermediates: (options.intermediates ?? []).map(known),
      roots: options.roots.map(known),
      role: options.purpose,
      nowMs: options.now,
    }),
    isSigned,
  );
}

/** The one URI name of a leaf. @throws ChainError no-spiffe-id unless it is exactly one, a SPIFFE id with a path */
export function spiffeIdOf(leaf: X509Certificate): string {
  return spiffeIdIn(known(leaf).facts);
}

/** A CA that may sign certificates and holds nothing critical that is not understood here. */
export function isAuthority(certificate: X509Certificate): boolean {
  return mayIssue(known(certificate).facts);
}

/** Of roots and intermediates, which are verified against again and again. */
const parsed = new WeakMap<X509Certificate, PathCertificate>();

function known(x509: X509Certificate): PathCertificate {
  const before = parsed.get(x509);
  if (before) return before;
  const made = { facts: factsOf(new Uint8Array(x509.rawData)), x509 };
  parsed.set(x509, made);
  return made;
}

function read(der: Uint8Array): PathCertificate {
  const facts = factsOf(der);
  try {
    return { facts, x509: new X509Certificate(new Uint8Array(der)) };
  } catch {
    throw new ChainError('malformed', 'certificate cannot be parsed');
  }
}

function factsOf(der: Uint8Array): CertificateFacts {
  try {
    return readCertificate(der);
  } catch (error) {
    throw new ChainError('malformed', `certificate cannot be parsed: ${(error as Error).message}`);
  }
}

async function isSigned(subject: PathCertificate, issuer: PathCertificate): Promise<boolean> {
  try {
    return await subject.x509.verify({ publicKey: issuer.x509, signatureOnly: true });
  } catch {
    return false;
  }
}
