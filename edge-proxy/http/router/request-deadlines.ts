/** The times that limit a forwarded request as a whole; those of one attempt are in attempt.ts. */
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { PooledTimer, Timed } from '../request/timers.ts';
import { type RequestTimeouts, type StreamDuration, streamDurationMs } from '../routing/request-timeouts.ts';
import type { RouterConfig } from './router-config.ts';

/** Runtimes hold delays in 31 bits. */
const LONGEST_TIMER_MS = 0x7fffffff;

/** `onTimeout`: the route's timeout is over. */
export interface LimitedRequest extends Timed {
  /** The stream has lived for its longest time. */
  onDurationOver(): void;
}

export class RequestDeadlines {
  readonly times: Readonly<RequestTimeouts>;
  /** Monotonic milliseconds at which the request was whole; 0: it is not yet. */
  endedAt = 0;
  private readonly owner: LimitedRequest;
  private readonly config: Pick<RouterConfig, 'clock' | 'timers'>;
  private timeout: PooledTimer | undefined = undefined;
  private duration: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(owner: LimitedRequest, times: Readonly<RequestTimeouts>, config: Pick<RouterConfig, 'clock' | 'timers'>) {
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

  /** maxStreamDuration, from the head on; a gRPC client may ask for less. */
  limitDuration(rule: StreamDuration, { headers, startMs }: ProxyRequest, grpc: boolean): void {
    const asked = streamDurationMs(rule, headers, grpc);
    if (asked <= 0) return;
    const left = Math.max(1, asked - (this.config.clock.monotonicMs() - startMs));
    this.duration = setTimeout(() => this.owner.onDurationOver(), Math.min(left, LONGEST_TIMER_MS));
  }

  /** The route's timeout counts no longer. */
  endTimeout(): void {
    this.timeout?.release();
    this.timeout = undefined;
  }

  stop(): void {
    this.endTimeout();
    clearTimeout(this.duration);
  }
}
