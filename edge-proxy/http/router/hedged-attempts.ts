/** Attempts of a request that were too slow and continue beside the current one (hedging). */
import type { Attempt } from './attempt.ts';

export class HedgedAttempts {
  private readonly attempts: Attempt[] = [];

  get any(): boolean {
    return this.attempts.length > 0;
  }

  add(attempt: Attempt): void {
    this.attempts.push(attempt);
  }

  has(attempt: Attempt): boolean {
    return this.attempts.includes(attempt);
  }

  /** @returns whether it was one of them */
  remove(attempt: Attempt): boolean {
    const at = this.attempts.indexOf(attempt);
    if (at >= 0) this.attempts.splice(at, 1);
    return at >= 0;
  }

  /** Gives all up, but the one that answers. */
  discard(but?: Attempt): void {
    for (const one of this.attempts) if (one !== but) one.discard();
  }
}
