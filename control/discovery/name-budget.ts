/**
 * How much of the names that proxies choose is kept. A proxy may subscribe to, and claim to hold, names of any length that no
 * resource has: without limits one workload could fill the memory of all others' control plane.
 */
import { DiscoveryError } from './discovery-error.ts';

/** The longest name of a resource, in characters. Those of Istio are below 700: several DNS names of 253 each. */
export const MAX_NAME = 1024;

/** Characters of names that are kept at a time, with `ENTRY` for each of them. */
export interface NameLimits {
  readonly perSession: number;
  /** Of one SPIFFE id, which the replicas of a workload share. */
  readonly perIdentity: number;
  readonly total: number;
}

const MI = 1024 * 1024;
/** A proxy that holds 10 000 services, and lost touch with all of them, sends names of 8 Mi characters. */
export const NAME_LIMITS: NameLimits = { perSession: 16 * MI, perIdentity: 64 * MI, total: 256 * MI };

/** What a name costs besides its characters: its place in a table. */
const ENTRY = 64;

/** @param version kept with the name */
export const costOf = (name: string, version = ''): number => name.length + version.length + ENTRY;

export class NameBudget {
  private used = 0;
  private readonly limit: number;
  private readonly scope: string;
  private wider: NameBudget | undefined;

  /** @param scope whose names they are, for messages @param wider what is charged as well */
  constructor(limit: number, scope: string, wider?: NameBudget) {
    this.limit = limit;
    this.scope = scope;
    this.wider = wider;
  }

  /** @throws DiscoveryError limited, naming the limit; nothing is charged then */
  charge(cost: number): void {
    for (const budget of this.chain())
      if (budget.used + cost > budget.limit)
        throw new DiscoveryError(
          'limited',
          `the limit of ${budget.limit} characters of resource names of ${budget.scope} is reached`,
        );
    for (const budget of this.chain()) budget.used += cost;
  }

  refund(cost: number): void {
    for (const budget of this.chain()) budget.used -= cost;
  }

  /** What is charged from now on is charged to `wider` too. Before the first charge. */
  within(wider: NameBudget): void {
    this.wider = wider;
  }

  /** Gives everything back to the wider budgets, which are not charged any more. */
  close(): void {
    this.wider?.refund(this.used);
    this.wider = undefined;
  }

  private *chain(): Generator<NameBudget> {
    for (let budget: NameBudget | undefined = this; budget; budget = budget.wider) yield budget;
  }
}
