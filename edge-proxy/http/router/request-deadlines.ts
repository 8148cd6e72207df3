/** The times that limit a forwarded request as a whole; those of one attempt are in attempt.ts. */
import type { PooledTimer, Timed } from '../request/timers.ts';
import type { RequestTimeouts } from '../routing/request-timeouts.ts';
import type { RouterConfig } from './router-config.ts';

export class RequestDeadlines {
  readonly times: Readonly<RequestTimeouts>;
  /** Monotonic milliseconds at which the request was whole; 0: it is not yet. */
  endedAt = 0;
  private readonly owner: Timed;
  private readonly config: Pick<RouterConfig, 'clock' | 'timers'>;
  private timeout: PooledTimer | undefined = undefined;

  /** @param owner `onTimeout`: the route's timeout is over */
  constructor(owner: Timed, times: Readonly<RequestTimeouts>, config: Pick<RouterConfig, 'clock' | 'timers'>) {
    this.owner = owner;
    this.times = times;
    this.config = config;
  }

  /** An attempt has a limit that the upstream is to know. */
  get any(): boolean {
    return this.times.totalMs > 0 || this.times.perAttemptMs > 0;
  }

  /** The request is whole: the route's timeout starts. */
  start(): void {
    const { clock, timers } = this.config;
    this.endedAt = clock.monotonicMs();
    if (this.times.totalMs > 0) this.timeout = timers.take(this.owner, this.times.totalMs);
  }

  /** The route's timeout counts no longer. */
  endTimeout(): void {
    this.timeout?.release();
    this.timeout = undefined;
  }
}
