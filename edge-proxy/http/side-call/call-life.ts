/** What ends a call of the proxy's own besides its response: its time, and the signal of its caller. */
import type { CancelSignal } from '../request/cancellation.ts';
import type { PooledTimer, Timed, TimerPool } from '../request/timers.ts';

/** The call. */
export interface LimitedCall {
  onTimeout(): void;
  onAbort(): void;
}

export class CallLife implements Timed {
  private readonly call: LimitedCall;
  private readonly signal: CancelSignal | undefined;
  private timer: PooledTimer | undefined;

  /** @param timeoutMs milliseconds; 0: no limit. From 2 s on it may be up to 0.2 s more (see timers.ts) */
  constructor(call: LimitedCall, timers: TimerPool, timeoutMs: number, signal: CancelSignal | undefined) {
    this.call = call;
    this.signal = signal;
    signal?.addEventListener('abort', this);
    this.timer = timeoutMs > 0 ? timers.take(this, timeoutMs) : undefined;
  }

  /** The signal is aborted. */
  handleEvent(): void {
    this.call.onAbort();
  }

  onTimeout(): void {
    this.call.onTimeout();
  }

  /** The call is over. */
  end(): void {
    this.timer?.release();
    this.timer = undefined;
    this.signal?.removeEventListener('abort', this);
  }
}
