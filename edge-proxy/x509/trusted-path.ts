/**
 * From a leaf to a trusted root: RFC 5280 path validation but for times, revocation and the leaf's names. Signatures of
 * one chain do not change, so a path that was found is remembered; whether it holds at this moment is asked each time.
 */
import { createHash, X509Certificate } from 'node:crypto';
import {
  ANY_PURPOSE,
  type CertificateExtensions,
  CLIENT_AUTH,
  KEY_USAGE_BITS,
  readExtensions,
  SERVER_AUTH,
} from './der.ts';
import { requirePermitted } from './name-constraints.ts';

export type Role = 'client' | 'server';

/** Certificates between the leaf and the root, the leaf counted: longer chains are refused. */
const MAX_CHAIN = 5;
/** Of one bundle of roots; begun anew when full. */
const MAX_PATHS = 256;

/** What is kept of a certificate once its signature was verified. */
export interface PathCertificate {
  readonly extensions: CertificateExtensions;
  /** One attribute a line, as node:crypto prints it. */
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

interface Certificate extends PathCertificate {
  readonly x509: X509Certificate;
}

/** Roots made ready once per text; contexts that trust the same share them. */
export type TrustedRoots = readonly Certificate[];

function read(raw: Uint8Array | string): Certificate {
  const x509 = new X509Certificate(raw);
  return {
    x509,
    extensions: readExtensions(x509.raw),
    subject: x509.subject,
    notBefore: Date.parse(x509.validFrom),
    notAfter: Date.parse(x509.validTo),
  };
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
  for (const { extensions, subject } of roots)
    if (!extensions.ca) throw new Error(`trusted root "${subject.replaceAll('\n', ', ')}" is not a CA certificate`);
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
  if (before?.every((certificate) => timeFault(certificate, nowMs) === undefined)) return before;
  // Another path may hold by now: one of two certificates of a CA has expired.
  const path = buildPath(chain, roots, role, nowMs).map(
    ({ extensions, subject, notBefore, notAfter }): PathCertificate => ({ extensions, subject, notBefore, notAfter }),
  );
  if (paths.size >= MAX_PATHS) paths.clear();
  paths.set(key, path);
  return path;
}

function digest(chain: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const certificate of chain) hash.update(`${certificate.length},`).update(certificate);
  return hash.digest('base64');
}

function buildPath(
  chain: readonly Uint8Array[],
  roots: TrustedRoots,
  role: Role,
  nowMs: number | undefined,
): Certificate[] {
  if (chain.length === 0) throw new Error('peer sent no certificate');
  const leaf = read(chain[0]!);
  if (leaf.extensions.ca) throw new Error('peer certificate is a CA certificate');
  requirePurpose(leaf, role);
  const intermediates = chain.slice(1, MAX_CHAIN + 1).map((raw) => read(raw));
  const path = [leaf];
  for (let depth = 0; depth < MAX_CHAIN; depth++) {
    const current = path[depth]!;
    requireUsable(current, nowMs);
    let issuer = issuerOf(current, roots, depth, role, nowMs);
    let trusted = true;
    if (!issuer || timeFault(issuer, nowMs) !== undefined) {
      const other = issuerOf(current, intermediates, depth, role, nowMs);
      trusted = other === undefined;
      issuer = other ?? issuer;
    }
    if (!issuer) throw new Error('peer certificate does not chain to a trusted root');
    requireUsable(issuer, nowMs);
    requireNames(issuer, path);
    path.push(issuer);
    if (trusted) return path;
  }
  throw new Error(`peer certificate chain is longer than ${MAX_CHAIN}`);
}

/** Of several certificates of the issuer one that is valid now; else the first, for what is told of it. */
function issuerOf(
  subject: Certificate,
  candidates: readonly Certificate[],
  depth: number,
  role: Role,
  nowMs: number | undefined,
): Certificate | undefined {
  let outdated: Certificate | undefined;
  for (const candidate of candidates) {
    if (candidate === subject || !issued(candidate, subject, depth, role)) continue;
    if (timeFault(candidate, nowMs) === undefined) return candidate;
    outdated ??= candidate;
  }
  return outdated;
}

/** What a CA is constrained to holds for every certificate below it. */
function requireNames(issuer: Certificate, below: readonly Certificate[]): void {
  const { nameConstraints } = issuer.extensions;
  if (nameConstraints) for (const { extensions } of below) requirePermitted(extensions, nameConstraints);
}

/** `depth`: how many CA certificates already lie between `issuer` and the leaf. */
function issued(issuer: Certificate, subject: Certificate, depth: number, role: Role): boolean {
  const { ca, pathLength, keyUsage } = issuer.extensions;
  const mayIssue = keyUsage === undefined || (keyUsage & KEY_USAGE_BITS.keyCertSign) !== 0;
  if (!ca || !mayIssue || (pathLength !== undefined && depth > pathLength)) return false;
  if (!hasPurpose(issuer, role)) return false;
  return subject.x509.checkIssued(issuer.x509) && subject.x509.verify(issuer.x509.publicKey);
}

/** Written so that an unreadable date (NaN) is a fault. */
function timeFault({ notBefore, notAfter }: PathCertificate, nowMs: number | undefined): string | undefined {
  if (nowMs === undefined) return undefined;
  if (!(nowMs >= notBefore)) return 'peer certificate is not yet valid';
  return nowMs <= notAfter ? undefined : 'peer certificate has expired';
}

function requireUsable(certificate: Certificate, nowMs: number | undefined): void {
  const fault = timeFault(certificate, nowMs);
  if (fault !== undefined) throw new Error(fault);
  const [unknown] = certificate.extensions.unknownCritical;
  if (unknown !== undefined) throw new Error(`peer certificate has an unknown critical extension ${unknown}`);
}

function hasPurpose({ extensions: { purposes } }: Certificate, role: Role): boolean {
  if (!purposes) return true;
  return purposes.includes(role === 'client' ? CLIENT_AUTH : SERVER_AUTH) || purposes.includes(ANY_PURPOSE);
}

/** What the key of a TLS peer may be for: a client signs, a server signs, decrypts or agrees on a key. */
const { digitalSignature, keyEncipherment, keyAgreement } = KEY_USAGE_BITS;
const LEAF_USAGE = { client: digitalSignature, server: digitalSignature | keyEncipherment | keyAgreement };

function requirePurpose(leaf: Certificate, role: Role): void {
  const { keyUsage } = leaf.extensions;
  const fits = keyUsage === undefined || (keyUsage & LEAF_USAGE[role]) !== 0;
  if (!fits || !hasPurpose(leaf, role)) throw new Error(`peer certificate is not for ${role} authentication`);
}
