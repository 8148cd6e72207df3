/** How often sources may do something: a token bucket for each. Sources beyond a number share one. */

export interface Rate {
  /** As many at once. */
  readonly burst: number;
  readonly perSecond: number;
}

/** Sources that are distinguished; the others share one bucket. */
const SOURCES = 10_000;
const OTHERS = 'other sources';
/** Between two looks for sources that have been idle. */
const FORGET_MS = 1000;

interface Bucket {
  left: number;
  /** When `left` was right, milliseconds. */
  at: number;
}

export class TokenBuckets {
  private readonly rate: Rate;
  private readonly now: () => number;
  private readonly buckets = new Map<string, Bucket>();
  private forgot = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds, never going back */
  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.rate = rate;
    this.now = now;
  }

  /** @returns seconds until the source may; 0: it may now */
  wait(source: string): number {
    const bucket = this.buckets.get(source);
    return bucket || this.buckets.size >= SOURCES ? this.refill(this.bucketOf(source)) : 0;
  }

  /** @param cost what it takes; a source may be in debt for as much as its burst */
  take(source: string, cost = 1): void {
    const bucket = this.bucketOf(source);
    bucket.left = Math.max(-this.rate.burst, bucket.left - cost);
  }

  private bucketOf(source: string): Bucket {
    const known = this.buckets.get(source);
    if (known) return known;
    if (this.buckets.size >= SOURCES) this.forgetIdle();
    const key = this.buckets.size < SOURCES ? source : OTHERS;
    const bucket = this.buckets.get(key) ?? { left: this.rate.burst, at: this.now() };
    this.buckets.set(key, bucket);
    return bucket;
  }

  private forgetIdle(): void {
    const now = this.now();
    if (now - this.forgot < FORGET_MS) return;
    this.forgot = now;
    for (const [key, bucket] of this.buckets) {
      this.refill(bucket);
      if (bucket.left >= this.rate.burst) this.buckets.delete(key);
    }
  }

  /** @returns seconds until the bucket has one, 0: it has */
  private refill(bucket: Bucket): number {
    const { burst, perSecond } = this.rate;
    const now = this.now();
    bucket.left = Math.min(burst, bucket.left + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    return bucket.left >= 1 ? 0 : (1 - bucket.left) / perSecond;
  }
}
