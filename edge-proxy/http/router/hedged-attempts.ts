/** Tries of a request that were too slow and go on beside the current one (hedging). */
import type { Attempt } from './attempt.ts';

export class SlowTries {
  private readonly tries: Attempt[] = [];

  get any(): boolean {
    return this.tries.length > 0;
  }

  add(attempt: Attempt): void {
    this.tries.push(attempt);
  }

  has(attempt: Attempt): boolean {
    return this.tries.includes(attempt);
  }

  /** @returns whether it was one of them */
  remove(attempt: Attempt): boolean {
    const at = this.tries.indexOf(attempt);
    if (at >= 0) this.tries.splice(at, 1);
    return at >= 0;
  }

  /** Gives all up, but the one that answers. */
  discard(but?: Attempt): void {
    for (const one of this.tries) if (one !== but) one.discard();
  }
}
