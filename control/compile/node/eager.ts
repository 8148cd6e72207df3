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
  /** Layers of listeners and route configurations, as one object for the same layers. */
  readonly holders: readonly Layer[];
  /** Hosts that a Sidecar names without a wildcard. */
  readonly exactHosts: ReadonlySet<string>;
}

/**
 * Virtual hosts that catch everything else and those of `exactHosts`; clusters of these, and those that filters or whole
 * route configurations name. What a tcp_proxy of an outbound listener names is fetched with the first connection.
 */
export const eagerOf = generator<EagerInput, Eager>(
  { clusters: true, virtualHosts: true, holders: true, exactHosts: true },
  ({ virtualHosts, clusters, holders, exactHosts }) => {
    const hosts: string[] = [];
    for (const name of virtualHosts.keys()) {
      const host = hostOf(name);
      if (host === undefined || exactHosts.has(host)) hosts.push(name);
    }
    const named = new Set<string>();
    for (const layer of holders) for (const name of namedIn({ layer })) named.add(name);
    if (exactHosts.size > 0)
      for (const name of clusters.keys()) if (exactHosts.has(name.slice(name.lastIndexOf('|') + 1))) named.add(name);
    return { virtualHosts: hosts, clusters: [...named] };
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
