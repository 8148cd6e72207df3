/**
 * A timer that is set and cleared per request at the cost of an assignment: the runtime's timer stays armed, looks at
 * the deadline when it fires, and arms itself again for what is left.
 */
export class LazyTimer {
  private readonly clock: () => number;
  private readonly onFire: () => void;
  private deadline = 0;
  private firesAt = 0;
  private handle: ReturnType<typeof setTimeout> | undefined;

  constructor(clock: () => number, onFire: () => void) {
    this.clock = clock;
    this.onFire = onFire;
  }

  /** Fires once in `ms`; 0 means never. Replaces what was set before. */
  set(ms: number): void {
    if (ms <= 0) {
      this.clear();
      return;
    }
    const now = this.clock();
    this.deadline = now + ms;
    if (this.handle !== undefined) {
      if (this.firesAt <= this.deadline) return;
      clearTimeout(this.handle);
    }
    this.arm(now);
  }

  clear(): void {
    this.deadline = 0;
  }

  /** For the end of the owner's life. */
  stop(): void {
    this.deadline = 0;
    if (this.handle !== undefined) clearTimeout(this.handle);
    this.handle = undefined;
  }

  private arm(now: number): void {
    // Runtimes hold delays in 31 bits.
    const ms = Math.min(Math.ceil(this.deadline - now), 0x7fffffff);
    this.firesAt = now + ms;
    this.handle = setTimeout(() => this.fire(), ms);
  }

  private fire(): void {
    this.handle = undefined;
    if (this.deadline === 0) return;
    const now = this.clock();
    if (now + 0.5 < this.deadline) {
      this.arm(now);
      return;
    }
    this.deadline = 0;
    this.onFire();
  }
}
