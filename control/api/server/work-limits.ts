/**
 * Bounds the work that anonymous requests cause: how often a source may ask, and how much is worked on at once. A source is an
 * IPv4 address or an IPv6 /64. A failure costs a source more than a success: guessing is slow, a fleet behind one address is not.
 */
import { ApiError } from '../resources/status.ts';
import { networkOf } from './connection-limits.ts';

export interface WorkLimitsSettings {
  /** Requests of one source: as many at once, and so many each second. */
  readonly source: { readonly burst: number; readonly perSecond: number };
  /** Requests of all sources. */
  readonly total: { readonly burst: number; readonly perSecond: number };
  /** For how many requests a failed one counts. */
  readonly failureCost: number;
  /** Worked on at once; the others wait, so many of one source and of all. */
  readonly running: number;
  readonly waitingOfSource: number;
  readonly waiting: number;
}

export const WORK_LIMITS: WorkLimitsSettings = {
  source: { burst: 400, perSecond: 40 },
  total: { burst: 2000, perSecond: 200 },
  failureCost: 20,
  running: 16,
  waitingOfSource: 256,
  waiting: 1024,
};

/** Sources that are distinguished; the others share one limit. */
const SOURCES = 10_000;
const OTHERS = 'other sources';

interface Bucket {
  left: number;
  /** When `left` was right, milliseconds. */
  at: number;
}

export class WorkLimits {
  private readonly settings: WorkLimitsSettings;
  private readonly now: () => number;
  private readonly sources = new Map<string, Bucket>();
  private readonly all: Bucket;
  private running = 0;
  private readonly queue: (() => void)[] = [];
  private readonly waitingOf = new Map<string, number>();

  /** @param now milliseconds, never going back */
  constructor(settings: Partial<WorkLimitsSettings> = {}, now: () => number = () => performance.now()) {
    this.settings = { ...WORK_LIMITS, ...settings };
    this.now = now;
    this.all = { left: this.settings.total.burst, at: now() };
  }

  /** Counts a request, before anything of it is read. @throws ApiError 429 with `retryAfterSeconds` */
  admit(remoteAddress: string): void {
    const { source, total } = this.settings;
    const own = this.bucketOf(networkOf(remoteAddress));
    const now = this.now();
    const wait = Math.max(refill(own, source, now), refill(this.all, total, now));
    if (wait > 0) throw tooMany(wait, 'requests to join come too often');
    own.left -= 1;
    this.all.left -= 1;
  }

  /** The request of that source was refused. Of the common limit it takes nothing: one source must not stop the others. */
  failed(remoteAddress: string): void {
    const own = this.bucketOf(networkOf(remoteAddress));
    own.left = Math.max(-this.settings.source.burst, own.left - this.settings.failureCost + 1);
  }

  /** Runs `work` in its turn. @throws ApiError 503 where too many wait; what `work` throws */
  async run<T>(remoteAddress: string, work: () => Promise<T>): Promise<T> {
    if (this.running >= this.settings.running) await this.turn(networkOf(remoteAddress));
    else this.running += 1;
    try {
      return await work();
    } finally {
      const next = this.queue.shift();
      if (next) next();
      else this.running -= 1;
    }
  }

  /** Takes over the place of one that ends. */
  private turn(source: string): Promise<void> {
    const own = this.waitingOf.get(source) ?? 0;
    const { waiting, waitingOfSource } = this.settings;
    if (this.queue.length >= waiting || own >= waitingOfSource)
      return Promise.reject(
        new ApiError(503, 'ServiceUnavailable', 'too many machines join at once: attempt it again in a moment', {
          retryAfterSeconds: 1,
        }),
      );
    this.waitingOf.set(source, own + 1);
    return new Promise((resolve) => {
      const start = () => {
        const left = this.waitingOf.get(source)! - 1;
        if (left === 0) this.waitingOf.delete(source);
        else this.waitingOf.set(source, left);
        resolve();
      };
      this.queue.push(start);
    });
  }

  private bucketOf(network: string): Bucket {
    const known = this.sources.get(network);
    if (known) return known;
    if (this.sources.size >= SOURCES) this.forgetIdle();
    const key = this.sources.size < SOURCES ? network : OTHERS;
    const bucket = this.sources.get(key) ?? { left: this.settings.source.burst, at: this.now() };
    this.sources.set(key, bucket);
    return bucket;
  }

  private forgetIdle(): void {
    const { source } = this.settings;
    const now = this.now();
    for (const [key, bucket] of this.sources) {
      refill(bucket, source, now);
      if (bucket.left >= source.burst) this.sources.delete(key);
    }
  }
}

/** @returns seconds until the bucket has one, 0: it has */
function refill(bucket: Bucket, { burst, perSecond }: WorkLimitsSettings['source'], now: number): number {
  bucket.left = Math.min(burst, bucket.left + ((now - bucket.at) / 1000) * perSecond);
  bucket.at = now;
  return bucket.left >= 1 ? 0 : (1 - bucket.left) / perSecond;
}

const tooMany = (seconds: number, what: string) => {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds));
  return new ApiError(429, 'TooManyRequests', `${what}: attempt it again in ${retryAfterSeconds} s`, {
    retryAfterSeconds,
  });
};
