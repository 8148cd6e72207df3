/**
 * The proxy's entrance to path validation (shared/identity/chain-path.ts), with signatures checked by node:crypto. Signatures
 * of one chain do not change, so a path that was found is remembered; whether it holds at this moment is asked each time.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { type CertificateFacts, readCertificate } from '../../shared/identity/certificate.ts';
import { findPath, type Role, requireLength, searchPath } from '../../shared/identity/chain-path.ts';

export type { Role } from '../../shared/identity/chain-path.ts';

/** Of one bundle of roots; cleared when full. */
const MAX_PATHS = 256;

/** What is kept of a certificate once its signature was verified. */
export interface PathCertificate {
  readonly facts: CertificateFacts;
  /** One attribute a line, as node:crypto prints it. */
  readonly subject: string;
}

interface Certificate extends PathCertificate {
  readonly x509: X509Certificate;
}

/** Roots made ready once per text; contexts that trust the same share them. */
export type TrustedRoots = readonly Certificate[];

function read(raw: Uint8Array | string): Certificate {
  const x509 = new X509Certificate(raw);
  return { x509, facts: readCertificate(x509.raw), subject: x509.subject };
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Splits PEM text into its certificates. */
export function pemCertificates(pem: string): string[] {
  return pem.match(PEM_CERTIFICATE) ?? [];
}

/** A file may be read while it is written: its last block is not there yet then. @throws Error */
function requireWhole(pem: string): void {
  if (pem.lastIndexOf('-----BEGIN ') > pem.lastIndexOf('-----END ')) throw new Error('trusted roots: PEM is cut short');
}

const bundles = new Map<string, WeakRef<TrustedRoots>>();

/** Reads a PEM bundle of roots. @throws Error when it holds none, or one that is not a CA */
export function readRoots(pem: string): TrustedRoots {
  const before = bundles.get(pem)?.deref();
  if (before) return before;
  requireWhole(pem);
  const roots = pemCertificates(pem).map((text) => read(text));
  if (roots.length === 0) throw new Error('trusted roots hold no certificate');
  for (const { facts, subject } of roots)
    if (!facts.ca) throw new Error(`trusted root "${subject.replaceAll('\n', ', ')}" is not a CA certificate`);
  for (const [text, bundle] of bundles) if (!bundle.deref()) bundles.delete(text);
  bundles.set(pem, new WeakRef(roots));
  return roots;
}

type Path = readonly PathCertificate[];
const found = new WeakMap<TrustedRoots, Map<string, Path>>();

/**
 * @param chain as the peer sent it (DER, leaf first; the order of the rest does not matter)
 * @param nowMs wall clock, milliseconds; undefined: at whatever time
 * @returns leaf first, the trusted root last, all of them valid at that time
 * @throws Error with the reason in one line
 */
export function trustedPath(
  chain: readonly Uint8Array[],
  roots: TrustedRoots,
  role: Role,
  nowMs: number | undefined,
): Path {
  let paths = found.get(roots);
  if (!paths) found.set(roots, (paths = new Map()));
  const key = `${role} ${digest(chain)}`;
  const before = paths.get(key);
  if (before?.every(({ facts }) => isCurrent(facts, nowMs))) return before;
  requireLength(chain.length);
  const search = searchPath({ chain: chain.map(read), roots, role, nowMs });
  const path = findPath(search, isSigned).map(({ facts, subject }): PathCertificate => ({ facts, subject }));
  if (paths.size >= MAX_PATHS) paths.clear();
  paths.set(key, path);
  return path;
}

function isCurrent({ notBefore, notAfter }: CertificateFacts, nowMs: number | undefined): boolean {
  return nowMs === undefined || (nowMs >= notBefore && nowMs <= notAfter);
}

function isSigned(subject: Certificate, issuer: Certificate): boolean {
  try {
    return subject.x509.verify(issuer.x509.publicKey);
  } catch {
    // A key of a kind that is not known here.
    return false;
  }
}

function digest(chain: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const certificate of chain) hash.update(`${certificate.length},`).update(certificate);
  return hash.digest('base64');
}
