/**
 * Verification of a peer's certificate chain, by us and on every connection. The runtimes' own `authorized` is not
 * used: it lies on resumed sessions (Deno on all of them, Node across SNI contexts).
 * What is checked: RFC 5280 path validation with name constraints and without revocation (a critical extension that is
 * not understood refuses the chain).
 */
import { X509Certificate } from 'node:crypto';
import { ANY_PURPOSE, type CertificateExtensions, CLIENT_AUTH, readExtensions, SERVER_AUTH } from './der.ts';
import { requirePermitted } from './name-constraints.ts';
import type { PeerNames } from './runtime.ts';

/** Certificates between the leaf and the root, the leaf counted: longer chains are refused. */
const MAX_CHAIN = 5;

interface Certificate {
  readonly x509: X509Certificate;
  readonly extensions: CertificateExtensions;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Roots made ready once per TLS context. */
export type TrustedRoots = readonly Certificate[];

export interface VerifiedPeer extends PeerNames {
  readonly subject: string;
  /** When the leaf expires, milliseconds since the epoch. */
  readonly notAfter: number;
}

function read(raw: Uint8Array | string): Certificate {
  const x509 = new X509Certificate(raw);
  return {
    x509,
    extensions: readExtensions(x509.raw),
    notBefore: Date.parse(x509.validFrom),
    notAfter: Date.parse(x509.validTo),
  };
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Splits PEM text into its certificates. */
export function pemCertificates(pem: string): string[] {
  return pem.match(PEM_CERTIFICATE) ?? [];
}

/** Reads a PEM bundle of roots. @throws Error when it holds none, or one that is not a CA */
export function readRoots(pem: string): TrustedRoots {
  const roots = pemCertificates(pem).map((text) => read(text));
  if (roots.length === 0) throw new Error('trusted roots hold no certificate');
  for (const root of roots)
    if (!root.extensions.ca) throw new Error(`trusted root "${oneLine(root.x509.subject)}" is not a CA certificate`);
  return roots;
}

/**
 * Judges a chain as the peer sent it (DER, leaf first; the order of the rest does not matter).
 * @param role what the peer is: a client must be allowed client authentication, a server server authentication
 * @param nowMs wall clock, milliseconds
 * @returns the leaf's names
 * @throws Error with the reason in one line
 */
export function verifyPeer(
  chain: readonly Uint8Array[],
  roots: TrustedRoots,
  role: 'client' | 'server',
  nowMs: number,
): VerifiedPeer {
  if (chain.length === 0) throw new Error('peer sent no certificate');
  const leaf = read(chain[0]!);
  if (leaf.extensions.ca) throw new Error('peer certificate is a CA certificate');
  requirePurpose(leaf, role);
  const intermediates = chain.slice(1, MAX_CHAIN + 1).map((raw) => read(raw));
  buildPath(leaf, intermediates, roots, role, nowMs);
  const { uris, dns, ips, emails } = leaf.extensions;
  return { uris, dns, ips, emails, subject: rfc2253(leaf.x509.subject), notAfter: leaf.notAfter };
}

function buildPath(
  leaf: Certificate,
  intermediates: Certificate[],
  roots: TrustedRoots,
  role: 'client' | 'server',
  nowMs: number,
): void {
  let current = leaf;
  const below = [leaf];
  for (let depth = 0; depth < MAX_CHAIN; depth++) {
    requireUsable(current, nowMs);
    for (const root of roots) {
      if (!issued(root, current, depth, role)) continue;
      requireUsable(root, nowMs);
      requireNames(root, below);
      return;
    }
    const issuer = intermediates.find((candidate) => candidate !== current && issued(candidate, current, depth, role));
    if (!issuer) throw new Error('peer certificate does not chain to a trusted root');
    requireNames(issuer, below);
    below.push(issuer);
    current = issuer;
  }
  throw new Error(`peer certificate chain is longer than ${MAX_CHAIN}`);
}

/** What a CA is constrained to holds for every certificate below it. */
function requireNames(issuer: Certificate, below: readonly Certificate[]): void {
  const { nameConstraints } = issuer.extensions;
  if (nameConstraints) for (const { extensions } of below) requirePermitted(extensions, nameConstraints);
}

/** `depth`: how many CA certificates already lie between `issuer` and the leaf. */
function issued(issuer: Certificate, subject: Certificate, depth: number, role: 'client' | 'server'): boolean {
  const { ca, pathLength, mayIssue } = issuer.extensions;
  if (!ca || mayIssue === false || (pathLength !== undefined && depth > pathLength)) return false;
  if (!hasPurpose(issuer, role)) return false;
  return subject.x509.checkIssued(issuer.x509) && subject.x509.verify(issuer.x509.publicKey);
}

function requireUsable(certificate: Certificate, nowMs: number): void {
  // Written so that an unreadable date (NaN) refuses.
  if (!(nowMs >= certificate.notBefore)) throw new Error('peer certificate is not yet valid');
  if (!(nowMs <= certificate.notAfter)) throw new Error('peer certificate has expired');
  if (certificate.extensions.unknownCritical.length > 0)
    throw new Error(`peer certificate has an unknown critical extension ${certificate.extensions.unknownCritical[0]}`);
}

function hasPurpose(certificate: Certificate, role: 'client' | 'server'): boolean {
  const { purposes } = certificate.extensions;
  if (!purposes) return true;
  return purposes.includes(role === 'client' ? CLIENT_AUTH : SERVER_AUTH) || purposes.includes(ANY_PURPOSE);
}

function requirePurpose(certificate: Certificate, role: 'client' | 'server'): void {
  if (!hasPurpose(certificate, role)) throw new Error(`peer certificate is not for ${role} authentication`);
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ');
}

/** node:crypto prints one attribute a line, most general first; RFC 2253 wants the reverse, joined by commas. */
function rfc2253(subject: string): string {
  return subject ? subject.split('\n').reverse().join(',') : '';
}
