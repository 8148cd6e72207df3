/** The workloads behind the endpoints that this proxy knows, by address. */
import type { Clock } from '../runtime/runtime.ts';
import type { Cluster } from './cluster.ts';
import {
  endpointWorkloadText,
  readEndpointWorkload,
  type WorkloadLookup,
  type WorkloadMetadata,
} from './workload-metadata.ts';

/** Endpoints change in bursts, and an index is made of all of them. */
const SHORTEST_AGE_MS = 1000;

export class WorkloadDirectory implements WorkloadLookup {
  private readonly clusters: () => Iterable<Pick<Cluster, 'endpoints'>>;
  private readonly clock: Pick<Clock, 'monotonicMs'>;
  private index: ReadonlyMap<string, WorkloadMetadata | undefined> = new Map();
  private outdated = true;
  private builtAt = Number.NEGATIVE_INFINITY;

  constructor(clusters: () => Iterable<Pick<Cluster, 'endpoints'>>, clock: Pick<Clock, 'monotonicMs'>) {
    this.clusters = clusters;
    this.clock = clock;
  }

  /** Clusters or endpoints have changed. */
  changed(): void {
    this.outdated = true;
  }

  at(address: string, namespace: string): WorkloadMetadata | undefined {
    if (this.outdated) this.refresh();
    return this.index.get(keyOf(address, namespace));
  }

  private refresh(): void {
    const now = this.clock.monotonicMs();
    if (now - this.builtAt < SHORTEST_AGE_MS) return;
    this.builtAt = now;
    this.outdated = false;
    this.index = indexOf(this.clusters());
  }
}

function keyOf(address: string, namespace: string): string {
  return `${address}\u0000${namespace}`;
}

/** An address that several workloads of a namespace share leads to none of them. */
function indexOf(clusters: Iterable<Pick<Cluster, 'endpoints'>>): Map<string, WorkloadMetadata | undefined> {
  const index = new Map<string, WorkloadMetadata | undefined>();
  const texts = new Map<string, string>();
  for (const cluster of clusters) {
    for (const endpoint of cluster.endpoints()) {
      const text = endpointWorkloadText(endpoint);
      if (text === undefined) continue;
      const workload = readEndpointWorkload(text);
      const key = keyOf(endpoint.address, workload.namespace);
      const known = texts.get(key);
      if (known === undefined) {
        texts.set(key, text);
        index.set(key, workload);
      } else if (known !== text) index.set(key, undefined);
    }
  }
  return index;
}
