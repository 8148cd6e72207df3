/**
 * The attempts of a request before the current one: where they were sent, which of them continue beside it (hedging), and
 * the wait before the next. Made with the first retry or hedged attempt.
 */
import type { Endpoint } from '../../upstream/cluster.ts';
import type { Attempt } from './attempt.ts';

export class EarlierAttempts {
  /** In the order of the attempts. */
  readonly endpoints: Endpoint[] = [];
  /** Those that were too slow and continue; undefined: there was none. */
  private hedged: Attempt[] | undefined = undefined;
  private backOff: ReturnType<typeof setTimeout> | undefined = undefined;

  /** A slow attempt was left running, and no response was chosen since. */
  get hedging(): boolean {
    return this.hedged !== undefined;
  }

  /** One of them may yet answer, or the next is about to begin. */
  get pending(): boolean {
    return this.backOff !== undefined || (this.hedged !== undefined && this.hedged.length > 0);
  }

  /** Leaves a slow attempt running. */
  addHedged(attempt: Attempt): void {
    this.hedged ??= [];
    this.hedged.push(attempt);
  }

  isHedged(attempt: Attempt): boolean {
    return this.hedged?.includes(attempt) ?? false;
  }

  /** @returns whether it was a hedged one */
  removeHedged(attempt: Attempt): boolean {
    const at = this.hedged?.indexOf(attempt) ?? -1;
    if (at >= 0) this.hedged!.splice(at, 1);
    return at >= 0;
  }

  /** Calls `begin` after a back-off of `ms` milliseconds. @param last the endpoint of the attempt that ended or is too slow */
  scheduleNext(last: Endpoint, ms: number, begin: () => void): void {
    this.endpoints.push(last);
    this.backOff = setTimeout(() => {
      this.backOff = undefined;
      begin();
    }, ms);
  }

  /** No further attempt begins, and all hedged ones are given up but the one that answers. */
  end(answering: Attempt | undefined): void {
    clearTimeout(this.backOff);
    this.backOff = undefined;
    const { hedged } = this;
    this.hedged = undefined;
    if (hedged !== undefined) for (const one of hedged) if (one !== answering) one.discard();
  }
}
