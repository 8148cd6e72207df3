/**
 * Bounds what one identity may ask of the control API: requests in flight, open watches, requests each second; and how often tokens
 * of one address may fail. An identity is a user, a SPIFFE id, or, of requests that prove none, an address (IPv6: a /64).
 */
import { createHmac, randomBytes } from 'node:crypto';
import { ApiError } from '../resources/status.ts';
import { TokenBuckets } from './token-buckets.ts';

export interface IdentityLimitsSettings {
  /** Requests of one identity that are worked on at a time, without watches. 0: no limit, as of all of these. */
  readonly inFlight: number;
  /** Open watches of one identity. */
  readonly watches: number;
  /** Requests of one identity each second; BURST times as many at once. */
  readonly perSecond: number;
  /** The same of one address without a proved identity. */
  readonly anonymousPerSecond: number;
  /** Tokens of one address that are refused, each second; as many as in 20 seconds at once. */
  readonly failedTokensPerSecond: number;
}

/**
 * Above what kubectl, helm and controllers ask at once, and what hundreds of proxies behind one address do. Polls of discovery are
 * limited by sessions (`--max-sessions-per-identity`), and count for the rate alone.
 */
export const IDENTITY_LIMITS: IdentityLimitsSettings = {
  inFlight: 400,
  watches: 5000,
  perSecond: 2000,
  anonymousPerSecond: 200,
  failedTokensPerSecond: 10,
};

const BURST = 5;
const FAILED_BURST = 20;
/** Tokens that were valid are not refused for others of their address that fail. */
const VALID_TOKENS = 10_000;

export type Limit = 'in-flight' | 'watches' | 'rate' | 'failed-tokens';

/** Who asks: an identity that was proved, or an address. */
export interface Asker {
  readonly identity: string;
  readonly isProved: boolean;
}

export class IdentityLimits {
  private readonly settings: IdentityLimitsSettings;
  private readonly limited: (limit: Limit) => void;
  private readonly proved: TokenBuckets | undefined;
  private readonly anonymous: TokenBuckets | undefined;
  private readonly failures: TokenBuckets | undefined;
  private readonly open = { 'in-flight': new Map<string, number>(), watches: new Map<string, number>() };
  private readonly valid = new Set<string>();
  private readonly key = randomBytes(32);

  /** @param limited takes each refusal @param now milliseconds, never going back */
  constructor(
    settings: Partial<IdentityLimitsSettings> = {},
    limited: (limit: Limit) => void = () => {},
    now: () => number = () => performance.now(),
  ) {
    this.settings = { ...IDENTITY_LIMITS, ...settings };
    this.limited = limited;
    const { perSecond, anonymousPerSecond, failedTokensPerSecond } = this.settings;
    const buckets = (rate: number, burst: number) =>
      rate === 0 ? undefined : new TokenBuckets({ burst: rate * burst, perSecond: rate }, now);
    this.proved = buckets(perSecond, BURST);
    this.anonymous = buckets(anonymousPerSecond, BURST);
    this.failures = buckets(failedTokensPerSecond, FAILED_BURST);
  }

  /** Counts a request for its rate, before anything of it is done. @throws ApiError 429 */
  admit({ identity, isProved }: Asker): void {
    const buckets = isProved ? this.proved : this.anonymous;
    const wait = buckets?.wait(identity) ?? 0;
    if (wait > 0) throw this.tooMany('rate', `requests of ${identity} come too often`, wait);
    buckets?.take(identity);
  }

  /** @returns to call once, when the request has been answered or the watch has ended @throws ApiError 429 */
  enter({ identity }: Asker, kind: 'in-flight' | 'watches'): () => void {
    const limit = kind === 'watches' ? this.settings.watches : this.settings.inFlight;
    const counts = this.open[kind];
    const count = counts.get(identity) ?? 0;
    const what = kind === 'watches' ? 'watches' : 'requests in flight';
    if (limit > 0 && count >= limit)
      throw this.tooMany(kind, `the limit of ${limit} ${what} of ${identity} is reached`, 1);
    counts.set(identity, count + 1);
    return () => {
      const left = counts.get(identity)! - 1;
      if (left > 0) counts.set(identity, left);
      else counts.delete(identity);
    };
  }

  /** Before a token is verified: too many of its address have failed. @throws ApiError 429 */
  mayTry(address: string, token: string): void {
    const wait = this.failures?.wait(address) ?? 0;
    if (wait === 0 || this.valid.has(this.digest(token))) return;
    throw this.tooMany('failed-tokens', 'too many tokens of this address were refused', wait);
  }

  failed(address: string): void {
    this.failures?.take(address);
  }

  succeeded(token: string): void {
    const digest = this.digest(token);
    this.valid.delete(digest);
    this.valid.add(digest);
    if (this.valid.size <= VALID_TOKENS) return;
    for (const oldest of this.valid) return void this.valid.delete(oldest);
  }

  private digest(token: string): string {
    return createHmac('sha256', this.key).update(token).digest('base64');
  }

  private tooMany(limit: Limit, what: string, seconds: number): ApiError {
    this.limited(limit);
    const retryAfterSeconds = Math.max(1, Math.ceil(seconds));
    return new ApiError(429, 'TooManyRequests', `${what}: attempt it again in ${retryAfterSeconds} s`, {
      retryAfterSeconds,
    });
  }
}
