/** How long a request may take to come, and how long the whole exchange may last; most have no such limit. */
import type { PooledTimer, TimerPool } from '../request/timers.ts';

/** Called when a time is over; the exchange may have ended by then in another way. */
export interface LimitedExchange {
  /** The request took longer to come than it may (request_timeout). */
  onRequestTooSlow(): void;
  /** Request and response took longer than they may (max_stream_duration). */
  onTooLong(): void;
}

export class ExchangeLimits {
  private request: PooledTimer | undefined;
  private longest: PooledTimer | undefined;
  private readonly pool: TimerPool;
  private readonly exchange: LimitedExchange;

  /** In milliseconds; 0: no limit. */
  constructor(pool: TimerPool, exchange: LimitedExchange, requestMs: number, maxStreamMs: number) {
    this.pool = pool;
    this.exchange = exchange;
    if (requestMs > 0) this.request = pool.take({ onTimeout: () => exchange.onRequestTooSlow() }, requestMs);
    if (maxStreamMs > 0) this.limitStream(maxStreamMs);
  }

  /** Replaces the longest time that is left to the exchange. @param ms milliseconds above 0; Infinity: no limit */
  limitStream(ms: number): void {
    this.longest?.release();
    this.longest = undefined;
    if (ms < Number.POSITIVE_INFINITY)
      this.longest = this.pool.take({ onTimeout: () => this.exchange.onTooLong() }, ms);
  }

  /** The life of the exchange has a limit. */
  get limitsStream(): boolean {
    return this.longest !== undefined;
  }

  requestEnded(): void {
    this.request?.release();
    this.request = undefined;
  }

  stop(): void {
    this.requestEnded();
    this.longest?.release();
    this.longest = undefined;
  }
}
