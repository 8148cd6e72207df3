/** Waits until proxies run what the mesh has become. One look at all of them serves everything that waits. */

const LOOK_MS = 50;

interface Waiter {
  /** The mesh is as it is waited for. */
  readonly isInView: () => boolean;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly done: (settled: boolean) => void;
}

export class Settlement {
  private readonly isSettled: () => boolean;
  private readonly now: () => number;
  private waiting: Waiter[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** @param isSettled whether every connected proxy has acknowledged what it should run */
  constructor(isSettled: () => boolean, now: () => number) {
    this.isSettled = isSettled;
    this.now = now;
  }

  /** @returns false where it takes longer than `limitMs` */
  wait(isInView: () => boolean, limitMs: number): Promise<boolean> {
    return new Promise((done) => {
      this.waiting.push({ isInView, until: this.now() + limitMs, done });
      this.timer ??= setTimeout(() => this.look(), LOOK_MS);
    });
  }

  close(): void {
    clearTimeout(this.timer);
    for (const { done } of this.waiting.splice(0)) done(false);
  }

  private look(): void {
    this.timer = undefined;
    const now = this.now();
    const inView = this.waiting.filter(({ isInView }) => isInView());
    const settled = inView.length > 0 && this.isSettled();
    const ended = this.waiting.filter((waiter) => waiter.until <= now || (settled && inView.includes(waiter)));
    this.waiting = this.waiting.filter((waiter) => !ended.includes(waiter));
    for (const waiter of ended) waiter.done(settled && inView.includes(waiter));
    if (this.waiting.length > 0) this.timer = setTimeout(() => this.look(), LOOK_MS);
  }
}
