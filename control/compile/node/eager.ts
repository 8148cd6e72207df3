/** What a node that fetches hosts on demand is given unasked. */
import { clusterNamesIn } from '../../../shared/xds/cluster-names.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import { generator, sharedList } from '../memo.ts';
import type { Eager } from '../output/compiled-node.ts';
import type { Layer } from '../output/resource-set.ts';
import { hostOf, namesOf, type VirtualHostNames } from '../routes/virtual-host-names.ts';

export interface EagerInput {
  readonly virtualHosts: Layer;
  /** Clusters of the services that the node may call. */
  readonly clusters: Layer;
  /** Layers of listeners and route configurations. */
  readonly holders: readonly Layer[];
  /** Hosts that a Sidecar names without a wildcard. */
  readonly exactHosts: ReadonlySet<string>;
}

/**
 * Virtual hosts that catch everything else and those of `exactHosts`; clusters of these, and those that filters or whole
 * route configurations name. What a tcp_proxy of an outbound listener names is fetched with the first connection.
 */
export function eagerOf({ virtualHosts, clusters, holders, exactHosts }: EagerInput): Eager {
  return {
    virtualHosts: eagerHosts({ names: namesOf(virtualHosts), exactHosts }),
    clusters: eagerClusters({ holders: sharedList(holders), exact: exactClusters({ clusters, exactHosts }) }),
  };
}

/** The same list for the same holders. */
const eagerClusters = generator<{ holders: readonly Layer[]; exact: readonly string[] }, readonly string[]>(
  { holders: true, exact: true },
  ({ holders, exact }) => [...new Set([...holders.flatMap((layer) => [...namedIn({ layer })]), ...exact])],
);

const eagerHosts = generator<{ names: VirtualHostNames } & Pick<EagerInput, 'exactHosts'>, readonly string[]>(
  { names: true, exactHosts: true },
  ({ names, exactHosts }) =>
    names.flatMap(({ name }) => {
      const host = hostOf(name);
      return host === undefined || exactHosts.has(host) ? [name] : [];
    }),
);

const NONE: readonly string[] = Object.freeze([]);

const exactClusters = generator<Pick<EagerInput, 'clusters' | 'exactHosts'>, readonly string[]>(
  { clusters: true, exactHosts: true },
  ({ clusters, exactHosts }) => {
    if (exactHosts.size === 0) return NONE;
    return [...clusters.keys()].filter((name) => exactHosts.has(name.slice(name.lastIndexOf('|') + 1)));
  },
);

const namedIn = generator<{ layer: Layer }, ReadonlySet<string>>({ layer: true }, ({ layer }) => {
  const names = new Set<string>();
  for (const { type, resource } of layer.values()) {
    const outbound = type === 'listeners' && (resource as Listener).trafficDirection === 'OUTBOUND';
    for (const name of clusterNamesIn(resource, outbound ? isTcpProxy : undefined)) names.add(name);
  }
  return names;
});

function isTcpProxy(part: object): boolean {
  return ((part as { '@type'?: string })['@type'] ?? '').endsWith('.tcp_proxy.v3.TcpProxy');
}
