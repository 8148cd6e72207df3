/** WorkloadEntries by namespace and label pair, so that a selector finds its workloads without reading all of them. */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import { namespaceOf, selects, specOf } from './fields.ts';
import { byAge } from './order.ts';
import { lowerBound } from './sorted-list.ts';

type WorkloadEntry = ResourceOfKind<'WorkloadEntry'>;
export type Labels = Readonly<Record<string, string>>;

const labels = new WeakMap<WorkloadEntry, Labels>();

/** The labels of a WorkloadEntry: those of its metadata, and those of its spec over them. */
export function workloadLabels(entry: WorkloadEntry): Labels {
  let known = labels.get(entry);
  if (!known) labels.set(entry, (known = { ...entry.metadata.labels, ...specOf(entry).labels }));
  return known;
}

const pairKey = (namespace: string, key: string, value: string): string => `${namespace}\n${key}\n${value}`;

export class WorkloadIndex {
  /** Oldest first. */
  private readonly byPair = new Map<string, WorkloadEntry[]>();

  add(entry: WorkloadEntry): void {
    for (const pair of pairsOf(entry)) {
      const list = this.byPair.get(pair);
      if (list) list.splice(lowerBound(list, entry, byAge), 0, entry);
      else this.byPair.set(pair, [entry]);
    }
  }

  remove(entry: WorkloadEntry): void {
    for (const pair of pairsOf(entry)) {
      const list = this.byPair.get(pair);
      if (!list) continue;
      const at = list.indexOf(entry, lowerBound(list, entry, byAge));
      if (at >= 0) list.splice(at, 1);
      if (list.length === 0) this.byPair.delete(pair);
    }
  }

  /** Entries of `namespace` with every label of `selector`, oldest first. An empty selector selects none. */
  selected(namespace: string, selector: Labels): readonly WorkloadEntry[] {
    const pairs = Object.entries(selector);
    let fewest: readonly WorkloadEntry[] | undefined;
    for (const [key, value] of pairs) {
      const list = this.byPair.get(pairKey(namespace, key, value));
      if (!list) return [];
      if (!fewest || list.length < fewest.length) fewest = list;
    }
    if (!fewest || pairs.length === 1) return fewest?.slice() ?? [];
    return fewest.filter((entry) => selects(selector, workloadLabels(entry)));
  }
}

function pairsOf(entry: WorkloadEntry): string[] {
  const namespace = namespaceOf(entry);
  return Object.entries(workloadLabels(entry)).map(([key, value]) => pairKey(namespace, key, value));
}

/** What asks for workloads by label, found by a workload's labels. */
export class SelectorIndex<T extends { readonly namespace: string; readonly selector: Labels }> {
  private readonly byPair = new Map<string, Set<T>>();

  add(asking: T): void {
    const pair = firstPair(asking);
    if (pair === undefined) return;
    const set = this.byPair.get(pair);
    if (set) set.add(asking);
    else this.byPair.set(pair, new Set([asking]));
  }

  remove(asking: T): void {
    const pair = firstPair(asking);
    if (pair === undefined) return;
    const set = this.byPair.get(pair);
    set?.delete(asking);
    if (set?.size === 0) this.byPair.delete(pair);
  }

  /** Everything whose selector picks `entry`. */
  selecting(entry: WorkloadEntry): T[] {
    const found: T[] = [];
    const own = workloadLabels(entry);
    for (const pair of pairsOf(entry))
      for (const asking of this.byPair.get(pair) ?? []) if (selects(asking.selector, own)) found.push(asking);
    return found;
  }
}

/** A selector is filed under its first pair alone: whatever it selects has that one, too. */
function firstPair({ namespace, selector }: { namespace: string; selector: Labels }): string | undefined {
  const [first] = Object.entries(selector);
  return first && pairKey(namespace, first[0], first[1]);
}
