/** How many requests began in the last interval, in ten steps: what a retry budget with `budgetInterval` is a share of. */

const STEPS = 10;

export class RequestWindow {
  private readonly stepMs: number;
  private readonly now: () => number;
  private readonly counts = new Uint32Array(STEPS);
  /** The step that is counted now, since the start of the clock. */
  private step = 0;
  private sum = 0;

  /** @param now monotonic milliseconds */
  constructor(intervalMs: number, now: () => number) {
    this.stepMs = intervalMs / STEPS;
    this.now = now;
    this.step = Math.floor(now() / this.stepMs);
  }

  add(): void {
    this.advance();
    this.counts[this.step % STEPS]!++;
    this.sum++;
  }

  get total(): number {
    this.advance();
    return this.sum;
  }

  private advance(): void {
    const step = Math.floor(this.now() / this.stepMs);
    if (step === this.step) return;
    for (let i = Math.max(this.step + 1, step - STEPS + 1); i <= step; i++) {
      this.sum -= this.counts[i % STEPS]!;
      this.counts[i % STEPS] = 0;
    }
    this.step = step;
  }
}
