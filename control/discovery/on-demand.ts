/** What a session that fetches hosts on demand is to hold: what is eager, what it named, and what those need. */
import type { Cluster } from '../../shared/xds/cluster.ts';
import { clusterNamesIn } from '../../shared/xds/cluster-names.ts';
import type { ResourceType } from '../../shared/xds/discovery.ts';
import type { CompiledNode, Eager } from '../compile/output/compiled-node.ts';
import type { Layer } from '../compile/output/resource-set.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { ResourceSets } from '../compile/output/snapshot.ts';

/** Names that the proxy subscribed to. */
export interface Wanted {
  readonly virtualHosts: ReadonlySet<string>;
  readonly clusters: ReadonlySet<string>;
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
  const [hosts, clusters] = [sets.virtualHosts.last, sets.clusters.last];
  const held = {
    virtualHosts: new Picked(hosts),
    clusters: new Picked(clusters),
    endpoints: new Picked(sets.endpoints.last),
  };
  for (const names of [eager.virtualHosts, wanted.virtualHosts])
    for (const name of names) {
      const host = held.virtualHosts.take(name);
      if (host) for (const cluster of clustersOf(host)) held.clusters.take(cluster);
    }
  for (const names of [eager.clusters, wanted.clusters]) for (const name of names) held.clusters.take(name);
  for (const cluster of held.clusters.layer.values()) {
    const service = serviceNameOf(cluster);
    if (service !== undefined) held.endpoints.take(service);
  }
  return {
    ...sets,
    virtualHosts: sets.virtualHosts.withLast(held.virtualHosts.likeLast(before?.virtualHosts.last)),
    clusters: sets.clusters.withLast(held.clusters.likeLast(before?.clusters.last)),
    endpoints: sets.endpoints.withLast(held.endpoints.likeLast(before?.endpoints.last)),
  };
}

/** The types that closures cut down. */
const CUT = ['clusters', 'endpoints', 'virtualHosts'] as const satisfies readonly ResourceType[];

/** Names of what a node could fetch, sorted; types without any are absent. */
export type NotFetched = { [T in (typeof CUT)[number]]?: readonly string[] };

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
  readonly layer = new Map<string, SharedResource>();
  private readonly from: Layer;

  constructor(from: Layer) {
    this.from = from;
  }

  take(name: string): SharedResource | undefined {
    const resource = this.from.get(name);
    if (resource) this.layer.set(name, resource);
    return resource;
  }

  /** `last` where it holds the same. */
  likeLast(last: Layer | undefined): Layer {
    if (last?.size !== this.layer.size) return this.layer;
    for (const [name, resource] of this.layer) if (last.get(name) !== resource) return this.layer;
    return last;
  }
}

const named = new WeakMap<SharedResource, readonly string[]>();

function clustersOf(host: SharedResource): readonly string[] {
  let names = named.get(host);
  if (!names) named.set(host, (names = [...clusterNamesIn(host.resource)]));
  return names;
}

function serviceNameOf({ resource }: SharedResource): string | undefined {
  const { type, name, edsClusterConfig } = resource as Cluster;
  return type === 'EDS' ? edsClusterConfig?.serviceName || name : undefined;
}
