/** The clusters as TCP proxies use them: those of indexed hosts are fetched with the first connection. */
import type { Cluster, ClusterSet } from '../../upstream/cluster.ts';
import type { Fetches, PendingFetch } from '../../upstream/fetches.ts';

export class OnDemandClusters implements ClusterSet {
  private readonly clusters: ReadonlyMap<string, Cluster>;
  private readonly isIndexed: (host: string) => boolean;
  private readonly fetches: Fetches;
  /** Clusters that connections were sent to since the last `takeUsed`. */
  private used = new Set<string>();

  constructor(clusters: ReadonlyMap<string, Cluster>, isIndexed: (host: string) => boolean, fetches: Fetches) {
    this.clusters = clusters;
    this.isIndexed = isIndexed;
    this.fetches = fetches;
  }

  get(name: string): Cluster | undefined {
    const cluster = this.clusters.get(name);
    if (cluster) this.used.add(name);
    return cluster;
  }

  fetch(name: string): PendingFetch | undefined {
    return this.isIndexed(hostOfCluster(name)) ? this.fetches.join('clusters', name) : undefined;
  }

  /** Clusters that connections were sent to since the last call, or are sent to now. */
  takeUsed(): string[] {
    const names = new Set(this.used);
    for (const [name, cluster] of this.clusters) if (cluster.use.connections > 0) names.add(name);
    this.used = new Set();
    return [...names];
  }
}

/** `outbound|<port>|<subset>|<host>` */
export function hostOfCluster(name: string): string {
  return name.slice(name.lastIndexOf('|') + 1);
}
