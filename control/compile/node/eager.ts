/** What a node that fetches hosts on demand is given unasked. */
import { clusterNamesIn } from '../../../shared/xds/cluster-names.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import { generator } from '../memo.ts';
import type { Eager } from '../output/compiled-node.ts';
import type { Layer } from '../output/resource-set.ts';
import { hostOf } from '../routes/host-index.ts';

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
  const named = new Set<string>();
  for (const layer of holders) for (const name of namedIn({ layer })) named.add(name);
  for (const name of exactClusters({ clusters, exactHosts })) named.add(name);
  return { virtualHosts: eagerHosts({ virtualHosts, exactHosts }), clusters: [...named] };
}

const eagerHosts = generator<Pick<EagerInput, 'virtualHosts' | 'exactHosts'>, readonly string[]>(
  { virtualHosts: true, exactHosts: true },
  ({ virtualHosts, exactHosts }) =>
    [...virtualHosts.keys()].filter((name) => {
      const host = hostOf(name);
      return host === undefined || exactHosts.has(host);
    }),
);

const exactClusters = generator<Pick<EagerInput, 'clusters' | 'exactHosts'>, readonly string[]>(
  { clusters: true, exactHosts: true },
  ({ clusters, exactHosts }) => {
    if (exactHosts.size === 0) return [];
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
