/** What an X.509-SVID says of its holder, and when it is renewed: of certificates that were read, without a library. */
import type { CertificateFacts } from './certificate.ts';
import { ChainError } from './chain-path.ts';
import { parseSpiffeId } from './spiffe.ts';

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
export function spiffeIdIn({ uris }: CertificateFacts): string {
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

/**
 * When to renew: half of the life that was left on receipt, moved by up to a tenth of it so that a fleet started
 * together does not renew together. Counted from receipt because `notBefore` lies in the past on purpose.
 * @param received milliseconds since the epoch
 * @param jitter 0 (earliest) up to 1 (latest)
 * @returns milliseconds since the epoch
 */
export function renewAt(svid: Validity, received: number, jitter: number): number {
  const from = Math.max(svid.notBefore, received);
  return from + (svid.notAfter - from) * (0.45 + 0.1 * jitter);
}
