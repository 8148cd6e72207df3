/** Is a certificate of a verified chain revoked? As OpenSSL's and BoringSSL's CRL check, which Envoy uses, decides it. */

import { type CertificateFacts, KEY_USAGE_BITS } from '../../shared/identity/certificate.ts';
import type { RevocationList } from './crl.ts';

export interface Revocation {
  readonly lists: readonly RevocationList[];
  /** Else every certificate of a chain, the root too, needs a list of its issuer. */
  readonly leafOnly: boolean;
  /** Lists may be past their next update (Envoy: allow_expired_certificate). */
  readonly allowExpired: boolean;
}

/**
 * @param path the verified chain, leaf first, ending with the trusted root
 * @param nowMs wall clock, milliseconds
 * @throws Error with the reason in one line: a certificate is revoked, or that it is not cannot be said
 */
export function requireNotRevoked(path: readonly CertificateFacts[], revocation: Revocation, nowMs: number): void {
  const last = revocation.leafOnly ? 1 : path.length;
  for (let i = 0; i < last; i++) {
    // The root's issuer is itself; a trusted intermediate at the top has no list that could be checked.
    const issuer = path[i + 1] ?? path[i]!;
    const list = bestList(path[i]!, issuer, revocation, nowMs);
    if (!list) throw new Error('peer certificate: there is no revocation list of its issuer');
    requireSound(list, path[i]!, issuer, revocation, nowMs);
    if (list.revoked.has(path[i]!.serial)) throw new Error('peer certificate is revoked');
  }
}

/** Of several lists of one issuer the newest counts, one that is in force before others. */
function bestList(
  certificate: CertificateFacts,
  issuer: CertificateFacts,
  revocation: Revocation,
  nowMs: number,
): RevocationList | undefined {
  let best: RevocationList | undefined;
  let bestRank = -1;
  for (const list of revocation.lists) {
    if (list.issuer !== certificate.issuer) continue;
    const { authorityKeyId } = list;
    if (authorityKeyId !== undefined && issuer.subjectKeyId !== undefined && authorityKeyId !== issuer.subjectKeyId)
      continue;
    const rank = (speaksOf(list, certificate) ? 2 : 0) + (timeFault(list, revocation, nowMs) === undefined ? 1 : 0);
    if (rank > bestRank || (rank === bestRank && best && list.thisUpdate > best.thisUpdate)) {
      best = list;
      bestRank = rank;
    }
  }
  return best;
}

function requireSound(
  list: RevocationList,
  certificate: CertificateFacts,
  issuer: CertificateFacts,
  revocation: Revocation,
  nowMs: number,
): void {
  if (!speaksOf(list, certificate)) throw new Error('peer certificate: its revocation list is of another scope');
  if (issuer.keyUsage !== undefined && !(issuer.keyUsage & KEY_USAGE_BITS.crlSign))
    throw new Error('peer certificate: its issuer may not sign revocation lists');
  const fault = timeFault(list, revocation, nowMs);
  if (fault !== undefined) throw new Error(`peer certificate: its revocation list ${fault}`);
  if (!list.signedBy(issuer.publicKey))
    throw new Error('peer certificate: its revocation list is not signed by its issuer');
}

function speaksOf({ scope }: RevocationList, { ca }: CertificateFacts): boolean {
  return scope === 'all' || (scope === 'authorities') === ca;
}

/** Written so that an unreadable date (NaN) is a fault. */
function timeFault(list: RevocationList, { allowExpired }: Revocation, nowMs: number): string | undefined {
  if (allowExpired) return undefined;
  if (!(nowMs >= list.thisUpdate)) return 'is not yet valid';
  if (list.nextUpdate !== undefined && !(nowMs <= list.nextUpdate)) return 'has expired';
  return undefined;
}
