/**
 * Verification of a peer's certificate chain, by us and on every connection. The runtimes' own `authorized` is not
 * used: it lies on resumed sessions (Deno on all of them, Node across SNI contexts).
 * What is checked: RFC 5280 path validation with name constraints, and revocation where lists are given (a critical
 * extension that is not understood refuses the chain).
 */
import { X509Certificate } from 'node:crypto';
import {
  ANY_PURPOSE,
  type CertificateExtensions,
  CLIENT_AUTH,
  KEY_USAGE_BITS,
  readExtensions,
  SERVER_AUTH,
} from './der.ts';
import { requirePermitted } from './name-constraints.ts';
import { type Revocation, requireNotRevoked } from './revocation.ts';
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

/** What holds besides the path itself. */
export interface ChainRules {
  readonly revocation?: Revocation | undefined;
  /** Certificates past their time, or before it, are taken. */
  readonly allowExpired?: boolean | undefined;
  /** CA certificates of a chain, the root counted; undefined: as many as are read. */
  readonly maxDepth?: number | undefined;
}

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

/** A file may be read while it is written: its last block is not there yet then. @throws Error */
function requireWhole(pem: string): void {
  if (pem.lastIndexOf('-----BEGIN ') > pem.lastIndexOf('-----END ')) throw new Error('trusted roots: PEM is cut short');
}

/** Reads a PEM bundle of roots. @throws Error when it holds none, or one that is not a CA */
export function readRoots(pem: string): TrustedRoots {
  requireWhole(pem);
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
  rules: ChainRules = {},
): VerifiedPeer {
  if (chain.length === 0) throw new Error('peer sent no certificate');
  const leaf = read(chain[0]!);
  if (leaf.extensions.ca) throw new Error('peer certificate is a CA certificate');
  requirePurpose(leaf, role);
  const intermediates = chain.slice(1, MAX_CHAIN + 1).map((raw) => read(raw));
  const path = buildPath(leaf, intermediates, roots, role, rules.allowExpired ? undefined : nowMs);
  // Envoy counts neither leaf nor root and takes one off: 0 and 1 are the same.
  if (rules.maxDepth !== undefined && path.length - 1 > Math.max(1, rules.maxDepth))
    throw new Error(`peer certificate chain is deeper than ${rules.maxDepth}`);
  if (rules.revocation)
    requireNotRevoked(
      path.map(({ extensions }) => extensions),
      rules.revocation,
      nowMs,
    );
  const { uris, dns, ips, emails, otherNames } = leaf.extensions;
  return {
    uris,
    dns,
    ips: ips.map(printedAddress),
    emails,
    otherNames,
    subject: rfc2253(leaf.x509.subject),
    notAfter: leaf.notAfter,
  };
}

/** @param nowMs undefined: at whatever time @returns leaf first, the trusted root last */
function buildPath(
  leaf: Certificate,
  intermediates: Certificate[],
  roots: TrustedRoots,
  role: 'client' | 'server',
  nowMs: number | undefined,
): Certificate[] {
  let current = leaf;
  const below = [leaf];
  for (let depth = 0; depth < MAX_CHAIN; depth++) {
    requireUsable(current, nowMs);
    for (const root of roots) {
      if (!issued(root, current, depth, role)) continue;
      requireUsable(root, nowMs);
      requireNames(root, below);
      return [...below, root];
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
  const { ca, pathLength, keyUsage } = issuer.extensions;
  const mayIssue = keyUsage === undefined || (keyUsage & KEY_USAGE_BITS.keyCertSign) !== 0;
  if (!ca || !mayIssue || (pathLength !== undefined && depth > pathLength)) return false;
  if (!hasPurpose(issuer, role)) return false;
  return subject.x509.checkIssued(issuer.x509) && subject.x509.verify(issuer.x509.publicKey);
}

function requireUsable(certificate: Certificate, nowMs: number | undefined): void {
  // Written so that an unreadable date (NaN) refuses.
  if (nowMs !== undefined && !(nowMs >= certificate.notBefore)) throw new Error('peer certificate is not yet valid');
  if (nowMs !== undefined && !(nowMs <= certificate.notAfter)) throw new Error('peer certificate has expired');
  if (certificate.extensions.unknownCritical.length > 0)
    throw new Error(`peer certificate has an unknown critical extension ${certificate.extensions.unknownCritical[0]}`);
}

function hasPurpose(certificate: Certificate, role: 'client' | 'server'): boolean {
  const { purposes } = certificate.extensions;
  if (!purposes) return true;
  return purposes.includes(role === 'client' ? CLIENT_AUTH : SERVER_AUTH) || purposes.includes(ANY_PURPOSE);
}

/** What the key of a TLS peer may be for: a client signs, a server signs, decrypts or agrees on a key. */
const { digitalSignature, keyEncipherment, keyAgreement } = KEY_USAGE_BITS;
const LEAF_USAGE = { client: digitalSignature, server: digitalSignature | keyEncipherment | keyAgreement };

function requirePurpose(certificate: Certificate, role: 'client' | 'server'): void {
  const { keyUsage } = certificate.extensions;
  const fits = keyUsage === undefined || (keyUsage & LEAF_USAGE[role]) !== 0;
  if (!fits || !hasPurpose(certificate, role)) throw new Error(`peer certificate is not for ${role} authentication`);
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ');
}

/** An address of eight groups as inet_ntop prints it, which is how it stands in configuration. */
function printedAddress(address: string): string {
  if (!address.includes(':')) return address;
  const groups = address.split(':');
  const mapped = /^(?:0:){5}ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(address);
  if (mapped) {
    const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
    return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  let [start, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === '0') end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  if (length === 1) return address;
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}

/** node:crypto prints one attribute a line, most general first; RFC 2253 wants the reverse, joined by commas. */
function rfc2253(subject: string): string {
  return subject ? subject.split('\n').reverse().join(',') : '';
}
