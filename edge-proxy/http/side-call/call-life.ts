/** What ends a call of the proxy's own besides its response: its time, and the signal of its caller. */

/** Runtimes hold delays in 31 bits. */
const LONGEST_TIMER_MS = 0x7fffffff;

export class CallLife {
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort: () => void;
  private readonly timer: ReturnType<typeof setTimeout> | undefined;

  /** @param timeoutMs milliseconds; 0: no limit */
  constructor(timeoutMs: number, signal: AbortSignal | undefined, onTimeout: () => void, onAbort: () => void) {
    this.signal = signal;
    this.onAbort = onAbort;
    signal?.addEventListener('abort', onAbort);
    if (timeoutMs > 0) this.timer = setTimeout(onTimeout, Math.min(timeoutMs, LONGEST_TIMER_MS));
  }

  /** The call is over. */
  end(): void {
    clearTimeout(this.timer);
    this.signal?.removeEventListener('abort', this.onAbort);
  }
}
