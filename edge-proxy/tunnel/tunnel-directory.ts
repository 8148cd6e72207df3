/** The workloads behind NAT that this gateway may serve: those of its endpoints that are reached by tunnels. */
import type { Cluster } from '../upstream/cluster.ts';
import type { KnownWorkloads } from './tunnel-registry.ts';

/** Endpoints change in bursts. */
const SETTLE_MS = 50;

export class TunnelDirectory implements KnownWorkloads {
  private readonly clusters: () => Iterable<Pick<Cluster, 'endpoints'>>;
  private index: ReadonlyMap<string, readonly string[]> = new Map();
  private outdated = true;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Called, some time after they have changed, while the owner listens. */
  onChanged: (() => void) | undefined;

  constructor(clusters: () => Iterable<Pick<Cluster, 'endpoints'>>) {
    this.clusters = clusters;
  }

  /** Clusters or endpoints have changed. */
  changed(): void {
    this.outdated = true;
    if (!this.onChanged) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.onChanged?.();
    }, SETTLE_MS);
  }

  identitiesOf(workload: string): readonly string[] | undefined {
    if (this.outdated) {
      this.outdated = false;
      this.index = indexOf(this.clusters());
    }
    return this.index.get(workload);
  }

  close(): void {
    clearTimeout(this.timer);
    this.onChanged = undefined;
  }
}

function indexOf(clusters: Iterable<Pick<Cluster, 'endpoints'>>): Map<string, readonly string[]> {
  const index = new Map<string, readonly string[]>();
  for (const cluster of clusters)
    for (const { tunnel } of cluster.endpoints()) if (tunnel) index.set(tunnel.workload, tunnel.identities);
  return index;
}
