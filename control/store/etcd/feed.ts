/** The newest events of the store, kept once for all watchers of this process: one watch on etcd, whatever their number. */
import { freeze } from '../freeze.ts';
import { selects } from '../selects.ts';
import type { Selection, WatchEvent } from '../store.ts';
import type { EtcdError } from './etcd-error.ts';

/** Yields groups of events; `reached`: all up to this revision were yielded. */
export interface Followed {
  events: WatchEvent[];
  reached: number;
}
export type FollowEvents = (
  after: number,
  options: { signal: AbortSignal; onTrouble?: (error: EtcdError) => void },
) => AsyncIterable<Followed>;

export interface FeedOptions {
  follow: FollowEvents;
  /** Revision after which everything is kept at first. */
  start: number;
  /** Events kept at least, when there are so many. */
  limit: number;
  /** The revision to begin again with after `follow` has failed: what lies between is lost to watchers of this feed. */
  restartAt: () => Promise<number>;
  onTrouble: (error: unknown) => void;
}

export class EventFeed {
  private readonly options: FeedOptions;
  private readonly ending = new AbortController();
  private readonly waiting = new Set<() => void>();
  private events: WatchEvent[] = [];
  /** Everything after this revision, up to `reached`, is in `events`. */
  private start: number;
  private last: number;

  constructor(options: FeedOptions) {
    this.options = options;
    this.start = this.last = options.start;
    void this.run();
  }

  /** The revision up to which the events are here. */
  get reached(): number {
    return this.last;
  }

  /** Whether `after` has everything that came after this revision, now or later. */
  covers(revision: number): boolean {
    return revision >= this.start;
  }

  /** @returns at most `limit` events, and the revision that the next call continues from when these were taken */
  after(revision: number, selection: Selection, limit: number): Followed {
    const found: WatchEvent[] = [];
    for (let at = this.indexAfter(revision); at < this.events.length; at++) {
      const event = this.events[at]!;
      if (!selects(selection, event.key)) continue;
      found.push(event);
      if (found.length === limit) return { events: found, reached: event.revision };
    }
    return { events: found, reached: Math.max(revision, this.last) };
  }

  /** Calls `wake` after each group of events, and at the end, until the returned function is called. */
  onChange(wake: () => void): () => void {
    this.waiting.add(wake);
    return () => void this.waiting.delete(wake);
  }

  close(): void {
    this.ending.abort();
    this.wake();
  }

  private async run(): Promise<void> {
    const { signal } = this.ending;
    while (!signal.aborted) {
      try {
        const { follow, onTrouble } = this.options;
        for await (const { events, reached } of follow(this.last, { signal, onTrouble })) this.take(events, reached);
      } catch (error) {
        if (signal.aborted) return;
        this.options.onTrouble(error);
        await this.restart();
      }
    }
  }

  private take(events: readonly WatchEvent[], reached: number): void {
    for (const event of events) this.events.push(freeze(event));
    this.last = reached;
    // Trimmed in batches: one copy of the array for many events.
    if (this.events.length >= 2 * this.options.limit) {
      this.start = this.events.at(-this.options.limit - 1)!.revision;
      this.events = this.events.slice(-this.options.limit);
    }
    this.wake();
  }

  private async restart(): Promise<void> {
    try {
      this.last = Math.max(this.last, await this.options.restartAt());
      this.start = this.last;
      this.events = [];
      this.wake();
    } catch (error) {
      this.options.onTrouble(error);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** Of the first event after `revision`, by bisection. */
  private indexAfter(revision: number): number {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private wake(): void {
    for (const wake of [...this.waiting]) wake();
  }
}
