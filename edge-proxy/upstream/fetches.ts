/** Resources that are fetched when they are first used, and the requests and connections that wait for them. */
import type { Clock } from '../runtime/runtime.ts';

/** Types whose resources are fetched by name. */
export type FetchedType = 'virtualHosts' | 'clusters';

/**
 * `changed`: it came, or it is known no longer: look it up again. `refused`: this proxy refused it, or the control plane does
 * not have it. `overflow`: too many wait already.
 */
export type FetchOutcome = 'changed' | 'timeout' | 'refused' | 'overflow';

/** Why something that was waited for is not there, for logs. @returns undefined: it is not known any more */
export function fetchFailure(outcome: FetchOutcome): string | undefined {
  return outcome === 'changed' ? undefined : `on_demand_fetch_${outcome}`;
}

/** One fetch that a request or connection waits for. */
export interface PendingFetch {
  /** Of the resource. */
  readonly name: string;
  /** Never rejected. */
  readonly done: Promise<FetchOutcome>;
}

export interface FetchLimits {
  /** How long the first that waits for a resource waits; those that come later share its deadline. */
  readonly waitMs: number;
  /** So many may wait at a time, for whatever resources. */
  readonly maxWaiting: number;
}

export const FETCH_LIMITS: FetchLimits = { waitMs: 1000, maxWaiting: 1000 };

interface Waiting {
  readonly fetch: PendingFetch;
  readonly settle: (outcome: FetchOutcome) => void;
  readonly timer: ReturnType<typeof setTimeout>;
  count: number;
}

export type Want = (type: FetchedType, name: string) => void;

export class Fetches {
  private readonly clock: Clock;
  private readonly limits: FetchLimits;
  private readonly waiting = { virtualHosts: new Map<string, Waiting>(), clusters: new Map<string, Waiting>() };
  /** What nothing can be expected of until it changes: name -> when it was last asked for, in milliseconds. */
  private readonly refused = { virtualHosts: new Map<string, number>(), clusters: new Map<string, number>() };
  private total = 0;
  /** Asks for a resource; names may come again. */
  want: Want = () => {};

  constructor(clock: Clock, limits: FetchLimits = FETCH_LIMITS) {
    this.clock = clock;
    this.limits = limits;
  }

  /** How many wait. */
  get size(): number {
    return this.total;
  }

  /** Joins the fetch of a resource, or begins it. */
  join(type: FetchedType, name: string): PendingFetch {
    if (this.isRefused(type, name)) return { name, done: Promise.resolve('refused') };
    if (this.total >= this.limits.maxWaiting) return { name, done: Promise.resolve('overflow') };
    let one = this.waiting[type].get(name);
    if (!one) {
      one = this.begin(type, name);
      this.want(type, name);
    }
    one.count += 1;
    this.total += 1;
    return one.fetch;
  }

  /** While it is used it stays wanted: the control plane sends no later version of what is let go. */
  private isRefused(type: FetchedType, name: string): boolean {
    const askedAt = this.refused[type].get(name);
    if (askedAt === undefined) return false;
    const now = this.clock.monotonicMs();
    if (now - askedAt >= this.limits.waitMs) {
      this.refused[type].set(name, now);
      this.want(type, name);
    }
    return true;
  }

  private begin(type: FetchedType, name: string): Waiting {
    const { promise: done, resolve: settle } = Promise.withResolvers<FetchOutcome>();
    const timer = setTimeout(() => this.end(type, name, 'timeout'), this.limits.waitMs);
    const one: Waiting = { fetch: { name, done }, settle, timer, count: 0 };
    this.waiting[type].set(name, one);
    return one;
  }

  /** The resource came, or something else became of it. */
  settle(type: FetchedType, name: string, outcome: 'changed' | 'refused'): void {
    if (outcome === 'refused') this.refused[type].set(name, this.clock.monotonicMs());
    else this.refused[type].delete(name);
    this.end(type, name, outcome);
  }

  /** Ends the waiting for names that are not known any more. */
  recheck(type: FetchedType, isKnown: (name: string) => boolean): void {
    for (const names of [this.waiting[type].keys(), this.refused[type].keys()])
      for (const name of [...names]) if (!isKnown(name)) this.settle(type, name, 'changed');
  }

  /** No one waits any longer. */
  close(): void {
    for (const type of ['virtualHosts', 'clusters'] as const)
      for (const name of [...this.waiting[type].keys()]) this.end(type, name, 'timeout');
  }

  private end(type: FetchedType, name: string, outcome: FetchOutcome): void {
    const one = this.waiting[type].get(name);
    if (!one) return;
    clearTimeout(one.timer);
    this.waiting[type].delete(name);
    this.total -= one.count;
    one.settle(outcome);
  }
}
