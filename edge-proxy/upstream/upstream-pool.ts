/** Streams to upstreams. The pool alone knows connections: one set of them per cluster, endpoint and TLS context. */
import type { Runtime, TlsContext } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import { EndpointPool } from './endpoint-pool.ts';
import { openRaw } from './raw-stream.ts';
import { type Lease, refusal, type StreamClient, type StreamKind, type StreamSource } from './stream-client.ts';

export type { Lease, StreamClient, StreamKind } from './stream-client.ts';

interface ClusterPools {
  /** The version of the cluster seen last. */
  cluster: Cluster;
  /** By `poolIdOf`. */
  readonly pools: Map<string, EndpointPool>;
}

export class UpstreamPool implements StreamSource {
  private readonly runtime: Runtime;
  private readonly byCluster = new Map<string, ClusterPools>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  /** On a connection that is there or on one that is dialled. */
  open(cluster: Cluster, endpoint: Endpoint, client: StreamClient, kind: StreamKind): Lease | undefined {
    let tls: TlsContext | undefined;
    try {
      tls = endpoint.tls();
    } catch (error) {
      // A TLS context whose secret is missing must not fall back to plaintext.
      const detail = error instanceof Error ? error.message : 'TLS context not ready';
      client.onReset(refusal('remote_connection_failure', detail));
      return undefined;
    }
    if (kind === 'raw') return openRaw(this.runtime, cluster, endpoint, tls, client);
    return this.poolFor(cluster, endpoint, tls).open(client);
  }

  /** Closes idle connections; those in use end with their request. */
  close(): void {
    for (const { pools } of [...this.byCluster.values()]) for (const pool of [...pools.values()]) pool.drain();
  }

  private poolFor(cluster: Cluster, endpoint: Endpoint, tls: TlsContext | undefined): EndpointPool {
    const key = clusterKey(cluster);
    const known = this.byCluster.get(key);
    if (known && known.cluster !== cluster) this.drainRemoved(known, cluster);
    const found = known?.pools.get(poolIdOf(endpoint));
    if (found && found.tls === tls && found.adopt(cluster)) return found;
    found?.drain();
    const pool: EndpointPool = new EndpointPool(this.runtime, cluster, endpoint, tls, () => this.forget(key, pool));
    // Draining may have removed the entry.
    let entry = this.byCluster.get(key);
    if (!entry) this.byCluster.set(key, (entry = { cluster, pools: new Map() }));
    entry.pools.set(poolIdOf(endpoint), pool);
    return pool;
  }

  /** After an update of the cluster: closes what is idle to endpoints that are no longer in it. */
  private drainRemoved(entry: ClusterPools, cluster: Cluster): void {
    entry.cluster = cluster;
    const ids = new Set(cluster.endpoints().map((endpoint) => endpoint.id));
    for (const pool of [...entry.pools.values()]) if (!ids.has(pool.endpoint.id)) pool.drain();
  }

  private forget(key: string, pool: EndpointPool): void {
    const pools = this.byCluster.get(key)?.pools;
    const id = poolIdOf(pool.endpoint);
    if (pools?.get(id) !== pool) return;
    pools.delete(id);
    if (pools.size === 0) this.byCluster.delete(key);
  }
}

function clusterKey(cluster: Cluster): string {
  return cluster.poolKey ?? cluster.name;
}

function poolIdOf(endpoint: Endpoint): string {
  return endpoint.poolId ?? endpoint.id;
}

/** One pool for all connection managers of a runtime. */
const pools = new WeakMap<Runtime, UpstreamPool>();

export function sharedPool(runtime: Runtime): UpstreamPool {
  let pool = pools.get(runtime);
  if (!pool) pools.set(runtime, (pool = new UpstreamPool(runtime)));
  return pool;
}
