/** How long an exchange may stand still, its request may take to come, and the whole may last. */
import type { PooledTimer, Timed, TimerPool } from '../timers.ts';

/** Called when a time is over; the exchange may have ended by then in another way. */
export interface TimedExchange {
  /** Nothing moved for the stream idle timeout. */
  onIdle(): void;
  /** The request took longer to come than it may (request_timeout). */
  onRequestTooSlow(): void;
  /** Request and response took longer than they may (max_stream_duration). */
  onTooLong(): void;
}

export class ExchangeTimers implements Timed {
  private readonly pool: TimerPool;
  private readonly exchange: TimedExchange;
  private idle: PooledTimer | undefined;
  private request: PooledTimer | undefined;
  private longest: PooledTimer | undefined;

  constructor(pool: TimerPool, exchange: TimedExchange) {
    this.pool = pool;
    this.exchange = exchange;
  }

  /** In milliseconds; 0: no limit. */
  limit(requestMs: number, maxStreamMs: number): void {
    const { exchange } = this;
    if (requestMs > 0) this.request = this.pool.take({ onTimeout: () => exchange.onRequestTooSlow() }, requestMs);
    if (maxStreamMs > 0) this.longest = this.pool.take({ onTimeout: () => exchange.onTooLong() }, maxStreamMs);
  }

  /** Something moved: the idle time of `ms` begins anew; 0: it has none. */
  touch(ms: number): void {
    if (this.idle) this.idle.set(ms);
    else if (ms > 0) this.idle = this.pool.take(this, ms);
  }

  /** As if the running idle time had been set to `ms`. */
  shortenIdle(ms: number): void {
    this.idle?.shorten(ms);
  }

  onTimeout(): void {
    this.exchange.onIdle();
  }

  requestEnded(): void {
    this.request?.release();
    this.request = undefined;
  }

  stop(): void {
    this.requestEnded();
    this.idle?.release();
    this.idle = undefined;
    this.longest?.release();
    this.longest = undefined;
  }
}
