/** Exponential backoff with full jitter: many proxies that lost one control plane must not return as one. */
export class Backoff {
  private readonly baseMs: number;
  private readonly maxMs: number;
  private readonly random: () => number;
  private attempt = 0;

  /** @param random [0, 1) */
  constructor(random: () => number, baseMs = 200, maxMs = 15_000) {
    this.baseMs = baseMs;
    this.maxMs = maxMs;
    this.random = random;
  }

  /** The next wait in milliseconds: between half and all of base * 2^n, capped. */
  next(): number {
    const ceiling = Math.min(this.maxMs, this.baseMs * 2 ** Math.min(this.attempt++, 30));
    return ceiling * (0.5 + this.random() / 2);
  }

  reset(): void {
    this.attempt = 0;
  }

  /** Waits `next()`; ends early, without error, on abort. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, this.next());
      signal.addEventListener('abort', done);
    });
  }
}
