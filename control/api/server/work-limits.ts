/**
 * Bounds the work that anonymous requests cause: how often a source may ask, and how much is worked on at once. A source is an
 * IPv4 address or an IPv6 /64. A failure costs a source more than a success: guessing is slow, a fleet behind one address is not.
 */
import { ApiError } from '../resources/status.ts';
import { networkOf } from './connection-limits.ts';
import { type Rate, TokenBuckets } from './token-buckets.ts';

export interface WorkLimitsSettings {
  /** Requests of one source: as many at once, and so many each second. */
  readonly source: Rate;
  /** Requests of all sources. */
  readonly total: Rate;
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

const ALL = 'all';

export class WorkLimits {
  private readonly settings: WorkLimitsSettings;
  private readonly sources: TokenBuckets;
  private readonly all: TokenBuckets;
  private running = 0;
  private readonly queue: (() => void)[] = [];
  private readonly waitingOf = new Map<string, number>();

  /** @param now milliseconds, never going back */
  constructor(settings: Partial<WorkLimitsSettings> = {}, now: () => number = () => performance.now()) {
    this.settings = { ...WORK_LIMITS, ...settings };
    this.sources = new TokenBuckets(this.settings.source, now);
    this.all = new TokenBuckets(this.settings.total, now);
  }

  /** Counts a request, before anything of it is read. @throws ApiError 429 with `retryAfterSeconds` */
  admit(remoteAddress: string): void {
    const source = networkOf(remoteAddress);
    const wait = Math.max(this.sources.wait(source), this.all.wait(ALL));
    if (wait > 0) throw tooMany(wait, 'requests to join come too often');
    this.sources.take(source);
    this.all.take(ALL);
  }

  /** The request of that source was refused. Of the common limit it takes nothing: one source must not stop the others. */
  failed(remoteAddress: string): void {
    this.sources.take(networkOf(remoteAddress), this.settings.failureCost - 1);
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
}

const tooMany = (seconds: number, what: string) => {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds));
  return new ApiError(429, 'TooManyRequests', `${what}: attempt it again in ${retryAfterSeconds} s`, {
    retryAfterSeconds,
  });
};
