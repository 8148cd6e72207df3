/** Streams to upstreams. The pool alone knows connections: a set for each cluster, endpoint, protocol and TLS context. */
import type { ProtocolName, UpstreamProtocol } from '../http/codec/codecs.ts';
import type { HttpVersion } from '../http/message/message.ts';
import type { Runtime, TlsContext } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import { EndpointPool } from './endpoint-pool.ts';
import { openRaw } from './raw-stream.ts';
import type { Lease, StreamClient, StreamKind, StreamSource } from './stream-client.ts';

export type { Lease, StreamClient, StreamKind } from './stream-client.ts';

interface ClusterPools {
  /** The version of the cluster seen last. */
  cluster: Cluster;
  /** Of each protocol, by `poolIdOf`. */
  readonly pools: Readonly<Record<ProtocolName, Map<string, EndpointPool>>>;
}

export class UpstreamPool implements StreamSource {
  private readonly runtime: Runtime;
  private readonly byCluster = new Map<string, ClusterPools>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  /** On a connection that is there or on one that is dialled. */
  open(cluster: Cluster, endpoint: Endpoint, client: StreamClient, kind: StreamKind): Lease | undefined {
    const protocol = kind === 'raw' ? undefined : protocolFor(cluster, kind);
    const tls = endpoint.tls(protocol?.name ?? 'raw');
    if (protocol === undefined) return openRaw(this.runtime, cluster, endpoint, tls, client);
    return this.poolFor(cluster, endpoint, protocol, tls).open(client);
  }

  /** Closes idle connections; those in use end with their request. */
  close(): void {
    for (const entry of [...this.byCluster.values()]) for (const pool of poolsOf(entry)) pool.drain();
  }

  private poolFor(
    cluster: Cluster,
    endpoint: Endpoint,
    protocol: UpstreamProtocol,
    tls: TlsContext | undefined,
  ): EndpointPool {
    const key = clusterKey(cluster);
    const known = this.byCluster.get(key);
    if (known && known.cluster !== cluster) this.drainUnused(known, cluster);
    const found = known?.pools[protocol.name].get(poolIdOf(endpoint));
    if (found && found.tls === tls && found.adopt(cluster, protocol)) return found;
    found?.drain();
    const reach = { endpoint, protocol, tls };
    const pool: EndpointPool = new EndpointPool(this.runtime, cluster, reach, () => this.forget(key, pool));
    // Draining may have removed the entry.
    let entry = this.byCluster.get(key);
    if (!entry) {
      entry = { cluster, pools: { http1: new Map(), http2: new Map(), alpn: new Map() } };
      this.byCluster.set(key, entry);
    }
    entry.pools[protocol.name].set(poolIdOf(endpoint), pool);
    return pool;
  }

  /** After an update of the cluster: closes what is idle to endpoints, or speaks protocols, that are no longer in it. */
  private drainUnused(entry: ClusterPools, cluster: Cluster): void {
    entry.cluster = cluster;
    const { forHttp1, forHttp2 } = cluster.protocols;
    const ids = new Set(cluster.endpoints().map((endpoint) => endpoint.id));
    for (const pool of poolsOf(entry)) {
      const { endpoint, protocol } = pool;
      if (!ids.has(endpoint.id) || (protocol !== forHttp1 && protocol !== forHttp2)) pool.drain();
    }
  }

  private forget(key: string, pool: EndpointPool): void {
    const entry = this.byCluster.get(key);
    const pools = entry?.pools[pool.protocol.name];
    const id = poolIdOf(pool.endpoint);
    if (entry === undefined || pools?.get(id) !== pool) return;
    pools.delete(id);
    if (poolsOf(entry).length === 0) this.byCluster.delete(key);
  }
}

function poolsOf({ pools }: ClusterPools): EndpointPool[] {
  return [...pools.http1.values(), ...pools.http2.values(), ...pools.alpn.values()];
}

function protocolFor({ protocols }: Cluster, version: HttpVersion): UpstreamProtocol {
  return version === 'HTTP/2' ? protocols.forHttp2 : protocols.forHttp1;
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
