/** How long a request may take to come, and how long the whole exchange may last; most have no such limit. */
import type { PooledTimer, TimerPool } from '../timers.ts';

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

  /** In milliseconds; 0: no limit. */
  constructor(pool: TimerPool, exchange: LimitedExchange, requestMs: number, maxStreamMs: number) {
    if (requestMs > 0) this.request = pool.take({ onTimeout: () => exchange.onRequestTooSlow() }, requestMs);
    if (maxStreamMs > 0) this.longest = pool.take({ onTimeout: () => exchange.onTooLong() }, maxStreamMs);
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
