/**
 * A timer that is set and cleared per request at the cost of an assignment: the runtime's timer stays armed, looks at
 * the deadline when it fires, and arms itself again for what is left.
 */
export class LazyTimer {
  private readonly clock: () => number;
  private readonly onFire: () => void;
  private deadline = 0;
  private since = 0;
  private firesAt = 0;
  private handle: ReturnType<typeof setTimeout> | undefined;

  private readonly coarse: CoarseClock | undefined;

  /** @param coarse what long times are counted on; they then run up to two of its ticks longer, never shorter */
  constructor(clock: () => number, onFire: () => void, coarse?: CoarseClock) {
    this.clock = clock;
    this.onFire = onFire;
    this.coarse = coarse;
  }

  /** Fires once in `ms`; 0 means never. Replaces what was set before. */
  set(ms: number): void {
    if (ms <= 0) {
      this.clear();
      return;
    }
    const now = this.coarse && ms >= LONG_MS ? this.coarse.now() + COARSE_MS : this.clock();
    this.since = now;
    this.deadline = now + ms;
    if (this.handle !== undefined) {
      if (this.firesAt <= this.deadline) return;
      clearTimeout(this.handle);
    }
    this.arm(now);
  }

  /** As if it had been set to this when it was last set: it may fire at once. Nothing where none is set. */
  shorten(ms: number): void {
    const deadline = this.since + ms;
    if (this.deadline === 0 || ms <= 0 || deadline >= this.deadline) return;
    this.deadline = deadline;
    if (this.handle === undefined || this.firesAt <= deadline) return;
    clearTimeout(this.handle);
    this.arm(this.clock());
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
    const ms = Math.min(Math.max(0, Math.ceil(this.deadline - now)), 0x7fffffff);
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

const COARSE_MS = 100;
/** Times from here on may be counted on the coarse clock. */
const LONG_MS = 2000;

/**
 * Monotonic milliseconds that are up to a tick old: reading it costs next to nothing. It ticks only while it is read, so
 * that an idle process sleeps.
 */
export class CoarseClock {
  private readonly clock: () => number;
  private time = 0;
  private ticking = false;
  private read = false;

  constructor(clock: () => number) {
    this.clock = clock;
  }

  now(): number {
    this.read = true;
    if (this.ticking) return this.time;
    this.ticking = true;
    this.tick();
    return this.time;
  }

  private readonly tick = (): void => {
    this.ticking = this.read;
    this.read = false;
    this.time = this.clock();
    if (this.ticking) setTimeout(this.tick, COARSE_MS);
  };
}

/** Who waits for a time that a pool counts. */
export interface Timed {
  onTimeout(): void;
}

/** The first `count` are free. An array that is emptied would be allocated again when one comes back. */
interface FreeTimers {
  readonly timers: PooledTimer[];
  count: number;
}

/** A timer on loan. */
export class PooledTimer {
  private readonly pool: FreeTimers;
  private readonly timer: LazyTimer;
  private owner: Timed | undefined;

  constructor(pool: FreeTimers, clock: () => number, coarse: CoarseClock) {
    this.pool = pool;
    this.timer = new LazyTimer(clock, () => this.owner?.onTimeout(), coarse);
  }

  lend(owner: Timed, ms: number): this {
    this.owner = owner;
    this.timer.set(ms);
    return this;
  }

  /** Begins anew, as `LazyTimer.set`. */
  set(ms: number): void {
    this.timer.set(ms);
  }

  /** As `LazyTimer.shorten`. */
  shorten(ms: number): void {
    this.timer.shorten(ms);
  }

  /** Once, when the time no longer counts; the holder forgets it. */
  release(): void {
    this.owner = undefined;
    this.timer.clear();
    this.pool.timers[this.pool.count++] = this;
  }
}

/** Timers for times that nearly always end early: taking one and giving it back makes nothing and arms nothing. */
export class TimerPool {
  readonly coarse: CoarseClock;
  private readonly clock: () => number;
  private readonly free: FreeTimers = { timers: [], count: 0 };

  constructor(clock: () => number) {
    this.clock = clock;
    this.coarse = new CoarseClock(clock);
  }

  /** @param ms above 0 */
  take(owner: Timed, ms: number): PooledTimer {
    const { free } = this;
    const timer = free.count > 0 ? free.timers[--free.count]! : new PooledTimer(free, this.clock, this.coarse);
    return timer.lend(owner, ms);
  }
}
