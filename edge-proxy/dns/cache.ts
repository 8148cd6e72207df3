/** Answers of upstream servers, until their TTL is over (RFC 1035 7.4, negative ones RFC 2308 5). */
import { RCODE } from './protocol.ts';
import type { Response } from './read-message.ts';
import type { KeptMessage } from './write-message.ts';

export interface CacheLimits {
  readonly entries: number;
  /** Of messages in all. */
  readonly bytes: number;
  /** Of one message. */
  readonly entryBytes: number;
  /** Seconds, whatever a server says. */
  readonly maxTtl: number;
  readonly maxNegativeTtl: number;
}

export const CACHE_LIMITS: CacheLimits = {
  entries: 2000,
  bytes: 2 << 20,
  entryBytes: 8192,
  maxTtl: 3600,
  maxNegativeTtl: 300,
};

export interface CachedAnswer extends KeptMessage {
  /** Monotonic milliseconds. */
  readonly storedAt: number;
  readonly expiresAt: number;
}

export class AnswerCache {
  private readonly limits: CacheLimits;
  /** The least recently used first. */
  private readonly entries = new Map<string, CachedAnswer>();
  private bytes = 0;

  constructor(limits: CacheLimits = CACHE_LIMITS) {
    this.limits = limits;
  }

  get size(): number {
    return this.entries.size;
  }

  /** @param now monotonic milliseconds */
  get(key: string, now: number): CachedAnswer | undefined {
    const found = this.entries.get(key);
    if (!found) return undefined;
    this.entries.delete(key);
    if (found.expiresAt <= now) {
      this.bytes -= found.bytes.length;
      return undefined;
    }
    this.entries.set(key, found);
    return found;
  }

  /** Keeps an answer that may be kept. */
  put(key: string, response: Response, now: number): void {
    const ttl = this.lifetime(response);
    const { bytes, ttls } = response;
    if (ttl <= 0 || bytes.length > this.limits.entryBytes) return;
    this.drop(key);
    this.entries.set(key, { bytes, ttls, storedAt: now, expiresAt: now + ttl * 1000 });
    this.bytes += bytes.length;
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.limits.entries && this.bytes <= this.limits.bytes) break;
      this.drop(oldest);
    }
  }

  clear(): void {
    this.entries.clear();
    this.bytes = 0;
  }

  private drop(key: string): void {
    const found = this.entries.get(key);
    if (!found) return;
    this.entries.delete(key);
    this.bytes -= found.bytes.length;
  }

  /** Seconds; 0: it is not kept. */
  private lifetime({ rcode, truncated, hasAnswers, smallestTtl = 0, negativeTtl = 0 }: Response): number {
    if (truncated) return 0;
    if (rcode === RCODE.NOERROR && hasAnswers) return Math.min(smallestTtl, this.limits.maxTtl);
    if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0;
    return Math.min(negativeTtl, this.limits.maxNegativeTtl);
  }
}
