/**
 * Chain verification for X.509-SVIDs (https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 5) over
 * WebCrypto. The rules of paths are those of chain-path.ts, as in the proxy.
 */
import { type CertificateFacts, readCertificate } from './certificate.ts';
import { ChainError, findPathLater, mayIssue, type Role, requireLength, searchPath } from './chain-path.ts';
import { parseSpiffeId } from './spiffe.ts';
import { X509Certificate } from './x509.ts';

export { ChainError, type ChainErrorCode } from './chain-path.ts';

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

/** Whom a verified path identifies. */
/** When a certificate is valid, in milliseconds since the epoch. */
export interface Validity {
  readonly notBefore: number;
  /** Of an SVID: when the first certificate of its path expires. */
  readonly notAfter: number;
}

export interface SvidIdentity extends Validity {
  spiffeId: string;
  trustDomain: string;
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
  requireLength(options.chain.length);
  const path = await findPathLater(
    searchPath({
      chain: options.chain.map(read),
      intermediates: (options.intermediates ?? []).map(known),
      roots: options.roots.map(known),
      role: options.purpose,
      nowMs: options.now,
    }),
    isSigned,
  );
  const identity = identityOf(
    path.map(({ facts }) => facts),
    options.trustDomain,
  );
  return { ...identity, path: path.map(({ x509 }) => x509) };
}

/**
 * The identity of a path that was verified: its leaf has exactly one URI, a SPIFFE id with a path.
 * @param path leaf first, root last
 * @param domain the trust domain that the id must be of; undefined: any
 * @throws ChainError no-spiffe-id, wrong-trust-domain
 */
export function identityOf(path: readonly CertificateFacts[], domain: string | undefined): SvidIdentity {
  const spiffeId = spiffeIdIn(path[0]!);
  const { trustDomain } = parseSpiffeId(spiffeId);
  if (domain !== undefined && trustDomain !== domain)
    throw new ChainError('wrong-trust-domain', `trust domain "${trustDomain}" is not "${domain}"`);
  const { notBefore } = path[0]!;
  return { spiffeId, trustDomain, notBefore, notAfter: Math.min(...path.map(({ notAfter }) => notAfter)) };
}

/** The one URI name of a leaf. @throws ChainError no-spiffe-id unless it is exactly one, a SPIFFE id with a path */
export function spiffeIdOf(leaf: X509Certificate): string {
  return spiffeIdIn(known(leaf).facts);
}

/** A CA that may sign certificates and holds nothing critical that is not understood here. */
export function isAuthority(certificate: X509Certificate): boolean {
  return mayIssue(known(certificate).facts);
}

interface Certificate {
  readonly facts: CertificateFacts;
  readonly x509: X509Certificate;
}

/** Of roots and intermediates, which are verified against again and again. */
const parsed = new WeakMap<X509Certificate, Certificate>();

function known(x509: X509Certificate): Certificate {
  const before = parsed.get(x509);
  if (before) return before;
  const made = { facts: factsOf(new Uint8Array(x509.rawData)), x509 };
  parsed.set(x509, made);
  return made;
}

function read(der: Uint8Array): Certificate {
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

async function isSigned(subject: Certificate, issuer: Certificate): Promise<boolean> {
  try {
    return await subject.x509.verify({ publicKey: issuer.x509, signatureOnly: true });
  } catch {
    return false;
  }
}

function spiffeIdIn({ uris }: CertificateFacts): string {
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
