/** From the priorities of a cluster to one endpoint: by a chooser, or by consistent hashing. */
import type { Endpoint, RetryHostRules } from '../cluster.ts';
import { type HashKey, type HashTable, maglevTable, normalizedWeights, ringTable } from './hash-table.ts';
import type { Chooser } from './load-balancers.ts';
import { choosePriority, loadsWithout, type PriorityLoads } from './priority-load.ts';
import type { Levels, Part } from './priority-set.ts';
import { type Hash64, modulo, randomHash } from './xx-hash.ts';

export interface Balancer {
  /** Membership or health changed. */
  update(levels: Levels): void;
  pick(
    hash: Hash64 | undefined,
    previous: readonly Endpoint[] | undefined,
    rules: RetryHostRules,
  ): Endpoint | undefined;
}

/** ROUND_ROBIN, LEAST_REQUEST and RANDOM. */
export class DrawingBalancer implements Balancer {
  private readonly choose: Chooser;
  private readonly random: () => number;
  private readonly overprovisioning: () => number;
  private levels: Levels | undefined;

  constructor(choose: Chooser, random: () => number, overprovisioning: () => number) {
    this.choose = choose;
    this.random = random;
    this.overprovisioning = overprovisioning;
  }

  update(levels: Levels): void {
    this.levels = levels;
  }

  pick(
    _hash: Hash64 | undefined,
    previous: readonly Endpoint[] | undefined,
    rules: RetryHostRules,
  ): Endpoint | undefined {
    const levels = this.levels;
    if (!levels) return undefined;
    if (previous === undefined || previous.length === 0) {
      const { only } = levels;
      if (only) return only.length === 0 ? undefined : this.choose(only);
      return this.draw(levels, levels.plan.loads);
    }
    const loads = retryLoads(levels, this.overprovisioning(), previous, rules);
    let host = this.draw(levels, loads);
    if (!rules.avoidPrevious) return host;
    for (let i = 0; i < rules.maxAttempts && host && tried(previous, host); i++) host = this.draw(levels, loads);
    return host;
  }

  private draw(levels: Levels, loads: PriorityLoads): Endpoint | undefined {
    const { priority, degraded } = choosePriority(loads, 1 + Math.floor(this.random() * 100));
    const level = levels.levels[priority];
    const parts = level && (degraded ? level.degraded : level.healthy);
    if (!parts || parts.length === 0) return undefined;
    const { hosts } = parts.length === 1 ? parts[0]! : this.drawPart(parts);
    return hosts.length === 0 ? undefined : this.choose(hosts);
  }

  private drawPart(parts: readonly Part[]): Part {
    let total = 0;
    for (const part of parts) total += part.weight;
    let at = this.random() * total;
    for (const part of parts) {
      at -= part.weight;
      if (at < 0) return part;
    }
    return parts[parts.length - 1]!;
  }
}

export type TableMaker = (parts: readonly Part[]) => HashTable | undefined;

export function ringMaker(keyOf: HashKey, minimumSize: number, maximumSize: number): TableMaker {
  return (parts) => ringTable(normalizedWeights(parts), keyOf, minimumSize, maximumSize);
}

export function maglevMaker(keyOf: HashKey, size: number): TableMaker {
  return (parts) => maglevTable(normalizedWeights(parts), keyOf, size);
}

/** RING_HASH and MAGLEV. A table is made when its priority is first asked after a change. */
export class HashingBalancer implements Balancer {
  private readonly make: TableMaker;
  private readonly random: () => number;
  private levels: Levels | undefined;
  private tables = new Map<number, HashTable | undefined>();

  constructor(make: TableMaker, random: () => number) {
    this.make = make;
    this.random = random;
  }

  update(levels: Levels): void {
    this.levels = levels;
    this.tables = new Map();
  }

  pick(
    given: Hash64 | undefined,
    previous: readonly Endpoint[] | undefined,
    rules: RetryHostRules,
  ): Endpoint | undefined {
    const levels = this.levels;
    if (!levels) return undefined;
    const hash = given ?? randomHash(this.random);
    // Priorities of earlier attempts are not left out here, as in Envoy's hashing balancers.
    const { priority } = choosePriority(levels.plan.loads, modulo(hash, 100) + 1);
    const table = this.table(levels, priority);
    if (!table) return undefined;
    let host = table(hash, 0);
    if (previous === undefined || previous.length === 0 || !rules.avoidPrevious) return host;
    for (let attempt = 1; attempt <= rules.maxAttempts && tried(previous, host); attempt++) host = table(hash, attempt);
    return host;
  }

  private table(levels: Levels, priority: number): HashTable | undefined {
    if (this.tables.has(priority)) return this.tables.get(priority);
    const level = levels.levels[priority];
    const table = level && this.make(level.ring);
    this.tables.set(priority, table);
    return table;
  }
}

function tried(previous: readonly Endpoint[], host: Endpoint): boolean {
  for (const one of previous) if (one.id === host.id) return true;
  return false;
}

/**
 * Envoy's previous_priorities: with every `priorityUpdateFrequency` attempts the priorities of all hosts tried so far are
 * left out; when none is left it starts again.
 */
export function retryLoads(
  levels: Levels,
  overprovisioning: number,
  previous: readonly Endpoint[],
  rules: RetryHostRules,
): PriorityLoads {
  const every = rules.priorityUpdateFrequency;
  let loads = levels.plan.loads;
  if (every === 0) return loads;
  const excluded = new Set<number>();
  let attempted: number[] = [];
  for (const host of previous) {
    attempted.push(host.priority);
    if (attempted.length < every) loads = levels.plan.loads;
    else if (attempted.length % every === 0) {
      for (const priority of attempted) excluded.add(priority);
      let adjusted = loadsWithout(levels.counts, overprovisioning, excluded);
      if (!adjusted) {
        excluded.clear();
        attempted = [];
        adjusted = loadsWithout(levels.counts, overprovisioning, excluded);
      }
      loads = adjusted ?? levels.plan.loads;
    }
  }
  return loads;
}
