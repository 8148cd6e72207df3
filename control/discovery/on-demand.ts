/** What a session that fetches hosts on demand is to hold: what is eager, what it named, and what those need. */
import type { Cluster } from '../../shared/xds/cluster.ts';
import { clusterNamesIn } from '../../shared/xds/cluster-names.ts';
import type { ResourceType } from '../../shared/xds/discovery.ts';
import type { CompiledNode, Eager } from '../compile/output/compiled-node.ts';
import { changedNames, type Layer } from '../compile/output/resource-set.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { ResourceSets } from '../compile/output/snapshot.ts';

/** Names that the proxy subscribed to. */
export interface Wanted {
  readonly virtualHosts: Iterable<string>;
  readonly clusters: Iterable<string>;
}

/**
 * The sets of `node` with the last layers of virtual hosts, clusters and endpoints cut down to the closure of what is eager
 * or wanted. Names that the node's own sets do not have count for nothing: visibility was decided there.
 * @param before what this gave last: layers that would be the same are taken from it
 */
export function closureOf(
  { sets }: Pick<CompiledNode, 'sets'>,
  eager: Eager,
  wanted: Wanted,
  before: ResourceSets | undefined,
): ResourceSets {
  const held = picksOf(sets, undefined);
  pick(held, eager);
  pick(held, wanted);
  return cutDown(sets, (type) => held[type].likeLast(before?.[type].last));
}

/** `closure`, of the same node, with more names wanted. Looks at these alone. */
export function extendedClosure(
  { sets }: Pick<CompiledNode, 'sets'>,
  closure: ResourceSets,
  wanted: Wanted,
): ResourceSets {
  const held = picksOf(sets, closure);
  pick(held, wanted);
  return cutDown(sets, (type) => held[type].layer);
}

/**
 * `closure` of `before`, among the sets of `node`, where these differ only in other resources than it holds.
 * @returns undefined where they differ in more, or in which names there are: it has to be worked out then
 */
export function unchangedClosure(
  { sets, eager }: CompiledNode,
  before: CompiledNode,
  closure: ResourceSets,
): ResourceSets | undefined {
  if (eager?.virtualHosts !== before.eager?.virtualHosts || eager?.clusters !== before.eager?.clusters)
    return undefined;
  for (const type of CUT) {
    const [from, to, held] = [before.sets[type].last, sets[type].last, closure[type].last];
    for (const name of changedNames(from, to)) if (held.has(name) || !from.has(name) || !to.has(name)) return undefined;
  }
  return cutDown(sets, (type) => closure[type].last);
}

/** The types that closures cut down. */
const CUT = ['clusters', 'endpoints', 'virtualHosts'] as const satisfies readonly ResourceType[];
type CutType = (typeof CUT)[number];
type Picks = { readonly [T in CutType]: Picked };

function picksOf(sets: ResourceSets, begun: ResourceSets | undefined): Picks {
  return Object.fromEntries(CUT.map((type) => [type, new Picked(sets[type].last, begun?.[type].last)])) as Picks;
}

function cutDown(sets: ResourceSets, layerOf: (type: CutType) => Layer): ResourceSets {
  return { ...sets, ...Object.fromEntries(CUT.map((type) => [type, sets[type].withLast(layerOf(type))])) };
}

/** Takes what the names need. */
function pick(held: Picks, wanted: Wanted): void {
  const taken: SharedResource[] = [];
  const takeCluster = (name: string) => {
    const cluster = held.clusters.take(name);
    if (cluster) taken.push(cluster);
  };
  for (const name of wanted.virtualHosts) {
    const host = held.virtualHosts.take(name);
    if (host) for (const cluster of clustersOf(host)) takeCluster(cluster);
  }
  for (const name of wanted.clusters) takeCluster(name);
  for (const cluster of taken) {
    const service = serviceNameOf(cluster);
    if (service !== undefined) held.endpoints.take(service);
  }
}

/** Names of what a node could fetch, sorted; types without any are absent. */
export type NotFetched = { [T in CutType]?: readonly string[] };

export function notFetched(all: ResourceSets, held: ResourceSets): NotFetched {
  const found: NotFetched = {};
  for (const type of CUT) {
    const names = [...all[type].values()].map(({ name }) => name).filter((name) => !held[type].has(name));
    if (names.length > 0) found[type] = names.sort();
  }
  return found;
}

/** A part of a layer. */
class Picked {
  private readonly from: Layer;
  private readonly begun: Layer | undefined;
  private own: Map<string, SharedResource> | undefined;

  /** @param begun what was picked before; it stays as it is */
  constructor(from: Layer, begun: Layer | undefined) {
    this.from = from;
    this.begun = begun;
  }

  get layer(): Layer {
    return this.own ?? this.begun ?? NOTHING;
  }

  /** @returns the resource when it was not picked yet */
  take(name: string): SharedResource | undefined {
    const resource = this.from.get(name);
    if (!resource || this.layer.has(name)) return undefined;
    this.own ??= new Map(this.begun);
    this.own.set(name, resource);
    return resource;
  }

  /** `last` where it holds the same. */
  likeLast(last: Layer | undefined): Layer {
    if (last?.size !== this.layer.size) return this.layer;
    for (const [name, resource] of this.layer) if (last.get(name) !== resource) return this.layer;
    return last;
  }
}

const NOTHING: Layer = new Map();

const named = new WeakMap<SharedResource, readonly string[]>();

function clustersOf(host: SharedResource): readonly string[] {
  let names = named.get(host);
  if (!names) named.set(host, (names = [...clusterNamesIn(host.resource)]));
  return names;
}

/** By which the endpoints of a cluster are known; undefined: it brings its own. */
export function serviceNameOf({ resource }: SharedResource): string | undefined {
  const { type, name, edsClusterConfig } = resource as Cluster;
  return type === 'EDS' ? edsClusterConfig?.serviceName || name : undefined;
}
