/**
 * Judges `POST /v1/rejoin`: the newest certificate of a join, expired for not too long, and a signature by its key over a nonce of
 * this process and the new request.
 */
import { createHmac, randomBytes, timingSafeEqual, verify, X509Certificate } from 'node:crypto';
import { decodePem } from '../../../shared/identity/pem.ts';
import type { SvidIdentity } from '../../../shared/identity/svid-identity.ts';
import { type RejoinRequest, rejoinText } from '../../../shared/join/rejoin.ts';

const NONCE_MS = 60_000;
const MAX_CHAIN = 6;

export type RejoinErrorCode = 'refused' | 'limited';

/** One line, with the remedy. `limited`: asking again later may help. */
export class RejoinError extends Error {
  override name = 'RejoinError';
  readonly code: RejoinErrorCode;
  constructor(code: RejoinErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Nonces without memory: a nonce holds its end and its authentication. */
export class Nonces {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  /** @param key that control planes share which take each other's nonces */
  constructor(now: () => number, key: Uint8Array = randomBytes(32)) {
    this.#key = key;
    this.#now = now;
  }

  create(): string {
    const body = Buffer.alloc(24);
    body.writeBigUInt64BE(BigInt(this.#now() + NONCE_MS));
    randomBytes(16).copy(body, 8);
    return Buffer.concat([body, this.#mac(body)]).toString('base64url');
  }

  /** @throws RejoinError */
  check(nonce: string): void {
    const bytes = Buffer.from(nonce, 'base64url');
    const body = bytes.subarray(0, 24);
    const isOurs = bytes.length === 56 && timingSafeEqual(bytes.subarray(24), this.#mac(body));
    if (!isOurs || Number(body.readBigUInt64BE()) < this.#now())
      throw new RejoinError('refused', 'the nonce is not of this control plane, or more than a minute old: ask again');
  }

  #mac(body: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(body).digest();
  }
}

/** Attempts that may come at once, and each second. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}
/** A fleet behind one address comes back within minutes; a signature costs a tenth of a millisecond. */
export const REJOIN_RATES = { address: { burst: 100, perSecond: 10 }, all: { burst: 500, perSecond: 200 } } as const;
const MAX_ADDRESSES = 10_000;

/** Token buckets: one of a source, and one for all. */
export class RejoinLimit {
  readonly #now: () => number;
  readonly #all: Bucket;
  /** The one that was used least recently first. */
  readonly #byAddress = new Map<string, Bucket>();

  constructor(now: () => number) {
    this.#now = now;
    this.#all = new Bucket(REJOIN_RATES.all, now());
  }

  /** @throws RejoinError limited */
  take(address: string): void {
    const now = this.#now();
    const bucket = this.#byAddress.get(address) ?? new Bucket(REJOIN_RATES.address, now);
    this.#byAddress.delete(address);
    this.#byAddress.set(address, bucket);
    if (this.#byAddress.size > MAX_ADDRESSES) this.#byAddress.delete(this.#byAddress.keys().next().value!);
    if (!bucket.take(now) || !this.#all.take(now))
      throw new RejoinError('limited', 'too many attempts to rejoin: try again in a few seconds');
  }
}

class Bucket {
  readonly #rate: Rate;
  #left: number;
  #at: number;

  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#at = now;
  }

  take(now: number): boolean {
    this.#left = Math.min(this.#rate.burst, this.#left + ((now - this.#at) / 1000) * this.#rate.perSecond);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

/** Serial number: lower-case hexadecimal. */
export interface RejoiningPeer extends SvidIdentity {
  readonly serial: string;
}

export interface RejoinJudge {
  /** Milliseconds after its end in which a certificate may rejoin; 0: never. */
  readonly graceMs: number;
  readonly nonces: Nonces;
  /** Verifies a chain (DER, leaf first) at a time, milliseconds since the epoch. @throws ChainError */
  readonly verifyChain: (chain: readonly Uint8Array[], at: number) => RejoiningPeer;
  readonly now: () => number;
}

/** @returns whose certificate it is @throws RejoinError, ChainError, PemError */
export async function judgeRejoin(request: RejoinRequest, judge: RejoinJudge): Promise<RejoiningPeer> {
  if (judge.graceMs === 0)
    throw new RejoinError(
      'refused',
      'an expired certificate is not renewed here (--rejoin-grace 0): join again with a new invitation',
    );
  judge.nonces.check(request.nonce);
  const chain = decodePem(request.certificateChain, 'CERTIFICATE');
  if (chain.length > MAX_CHAIN) throw new RejoinError('refused', `certificateChain: at most ${MAX_CHAIN} certificates`);
  const leaf = readLeaf(chain[0]);
  const end = leaf.validToDate.getTime();
  const now = judge.now();
  if (now > end + judge.graceMs)
    throw new RejoinError(
      'refused',
      `the certificate expired at ${leaf.validToDate.toISOString()}, longer ago than --rejoin-grace allows: join again with a new invitation`,
    );
  // As of its end: its issuers may have been renewed since.
  const identity = judge.verifyChain(chain, Math.min(now, end));
  const text = await rejoinText(request.nonce, request.csr);
  const isSigned =
    leaf.publicKey.asymmetricKeyType === 'ec' &&
    verify(
      'sha256',
      text,
      { key: leaf.publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(request.signature, 'base64'),
    );
  if (!isSigned) throw new RejoinError('refused', 'the signature is not by the key of the certificate');
  return identity;
}

function readLeaf(der: Uint8Array | undefined): X509Certificate {
  try {
    return new X509Certificate(der!);
  } catch {
    throw new RejoinError('refused', 'certificateChain: the first certificate cannot be read');
  }
}
