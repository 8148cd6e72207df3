/**
 * Verification of a peer's certificate chain, by us and on every connection. The runtimes' own `authorized` is not
 * used: it lies on resumed sessions (Deno on all of them, Node across SNI contexts).
 * What is checked: RFC 5280 path validation with name constraints, and revocation where lists are given (a critical
 * extension that is not understood refuses the chain).
 */

import { serialHex } from '../../shared/identity/certificate.ts';
import { type Revocation, requireNotRevoked } from './revocation.ts';
import { type Role, type TrustedRoots, trustedPath } from './trusted-path.ts';

/** What holds besides the path itself. */
export interface ChainRules {
  readonly revocation?: Revocation | undefined;
  /** Certificates past their time, or before it, are taken. */
  readonly allowExpired?: boolean | undefined;
  /** CA certificates of a chain, the root counted; undefined: as many as are read. */
  readonly maxDepth?: number | undefined;
}

/** The subject alternative names of a certificate, by kind (RFC 5280 section 4.2.1.6). */
export interface PeerNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly emails?: readonly string[];
  /** Names of other kinds that are text: the kind's object identifier, dotted, and the text. */
  readonly otherNames?: readonly { readonly type: string; readonly value: string }[];
}

export interface VerifiedPeer extends PeerNames {
  readonly subject: string;
  /** As `serialHex`. */
  readonly serial: string;
  /** When the leaf expires, milliseconds since the epoch. */
  readonly notAfter: number;
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
  role: Role,
  nowMs: number,
  rules: ChainRules = {},
): VerifiedPeer {
  const path = trustedPath(chain, roots, role, rules.allowExpired ? undefined : nowMs);
  // Envoy counts neither leaf nor root and takes one off: 0 and 1 are the same.
  if (rules.maxDepth !== undefined && path.length - 1 > Math.max(1, rules.maxDepth))
    throw new Error(`peer certificate chain is deeper than ${rules.maxDepth}`);
  const [leaf] = path;
  if (!leaf) throw new Error('peer sent no certificate');
  if (rules.revocation)
    requireNotRevoked(
      path.map(({ facts }) => facts),
      rules.revocation,
      nowMs,
    );
  const { uris, dns, ips, emails, otherNames } = leaf.facts;
  return {
    ...{ uris, dns, emails, otherNames },
    ips: ips.map(printedAddress),
    subject: rfc2253(leaf.subject),
    serial: serialHex(leaf.facts),
    notAfter: leaf.facts.notAfter,
  };
}

/** An address of eight groups as inet_ntop prints it, as in configuration. */
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
