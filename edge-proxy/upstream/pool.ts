/** HTTP/1.1 connection pools, one per cluster, endpoint and TLS context. */
import type { Connection, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import type { PoolSide, StreamOwner } from './pool-connection.ts';
import { UpstreamConnection } from './pool-connection.ts';

export type { ResetReason, StreamOwner, UpstreamStream } from './pool-connection.ts';

/** A place in the queue of a pool. */
export interface Lease {
  /** Leaves the queue; without effect once `onReady` was called. */
  cancel(): void;
}

class Waiting implements Lease {
  readonly owner: StreamOwner;
  private readonly pool: EndpointPool;

  constructor(owner: StreamOwner, pool: EndpointPool) {
    this.owner = owner;
    this.pool = pool;
  }

  cancel(): void {
    this.pool.leave(this);
  }
}

/** The connections to one endpoint with one TLS context. */
class EndpointPool implements PoolSide {
  readonly tls: TlsContext | undefined;
  private cluster: Cluster;
  private readonly endpoint: Endpoint;
  private readonly runtime: Runtime;
  private readonly onEmpty: (pool: EndpointPool) => void;
  /** The last used is taken first, so that the others can time out. */
  private readonly idle: UpstreamConnection[] = [];
  private readonly waiting: Waiting[] = [];
  private readonly all = new Set<UpstreamConnection>();
  private dialing = 0;
  private retired = false;
  private sweeper: ReturnType<typeof setTimeout> | undefined;

  constructor(
    runtime: Runtime,
    cluster: Cluster,
    endpoint: Endpoint,
    tls: TlsContext | undefined,
    onEmpty: (pool: EndpointPool) => void,
  ) {
    this.runtime = runtime;
    this.cluster = cluster;
    this.endpoint = endpoint;
    this.tls = tls;
    this.onEmpty = onEmpty;
  }

  get poolKey(): string {
    return poolKey(this.cluster);
  }

  get id(): string {
    return poolIdOf(this.endpoint);
  }

  get endpointId(): string {
    return this.endpoint.id;
  }

  /** An update of the cluster that keeps its counts keeps the connections, under the new limits. */
  adopt(cluster: Cluster): boolean {
    if (this.cluster !== cluster && this.cluster.use !== cluster.use) return false;
    this.cluster = cluster;
    return true;
  }

  acquire(owner: StreamOwner): Lease | undefined {
    let ready = this.idle.pop();
    while (ready && this.cluster.maxConnectionMs && this.isOld(ready, this.runtime.monotonicMs())) {
      ready.destroy();
      ready = this.idle.pop();
    }
    if (ready) {
      this.lend(ready, owner);
      return undefined;
    }
    const { use, limits } = this.cluster;
    if (use.pending >= limits.maxPendingRequests) {
      owner.onReset('overflow', '');
      return undefined;
    }
    const place = new Waiting(owner, this);
    this.waiting.push(place);
    use.pending++;
    this.dialIfNeeded();
    return place;
  }

  leave(place: Waiting): void {
    const at = this.waiting.indexOf(place);
    if (at < 0) return;
    this.waiting.splice(at, 1);
    this.cluster.use.pending--;
  }

  /** Takes no new request; what is under way ends in peace. */
  retire(): void {
    this.retired = true;
    clearTimeout(this.sweeper);
    for (const connection of this.idle.splice(0)) connection.destroy();
    this.endIfEmpty();
  }

  onIdle(connection: UpstreamConnection): void {
    const { maxRequestsPerConnection } = this.cluster;
    const worn = maxRequestsPerConnection > 0 && connection.served >= maxRequestsPerConnection;
    if (worn || this.isOld(connection, this.runtime.monotonicMs())) {
      connection.destroy();
      return;
    }
    const next = this.takeWaiting();
    if (next) {
      this.lend(connection, next.owner);
      return;
    }
    if (this.retired) {
      connection.destroy();
      return;
    }
    connection.idleSince = this.runtime.monotonicMs();
    this.idle.push(connection);
    this.sweepLater();
  }

  onGone(connection: UpstreamConnection): void {
    if (!this.all.delete(connection)) return;
    this.cluster.use.connections--;
    if (this.endpoint.stats) this.endpoint.stats.cxActive--;
    const at = this.idle.lastIndexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    this.dialIfNeeded();
    this.endIfEmpty();
  }

  private lend(connection: UpstreamConnection, owner: StreamOwner): void {
    if (this.endpoint.stats) this.endpoint.stats.rqTotal++;
    connection.lend(owner);
  }

  private isOld(connection: UpstreamConnection, now: number): boolean {
    const longest = this.cluster.maxConnectionMs ?? 0;
    return longest > 0 && now - connection.openedAt >= longest;
  }

  private takeWaiting(): Waiting | undefined {
    const next = this.waiting.shift();
    if (next) this.cluster.use.pending--;
    return next;
  }

  /** As many dials under way as requests wait, within the limit; an endpoint may always have one connection. */
  private dialIfNeeded(): void {
    const { use, limits } = this.cluster;
    while (this.dialing < this.waiting.length && (use.connections < limits.maxConnections || this.all.size === 0)) {
      this.dial();
    }
  }

  private dial(): void {
    const connection = new UpstreamConnection(this);
    this.all.add(connection);
    this.dialing++;
    this.cluster.use.connections++;
    const { stats } = this.endpoint;
    if (stats) {
      stats.cxTotal++;
      stats.cxActive++;
    }
    let settled = false;
    let raw: Connection | undefined;
    const failed = (reason: 'remote_connection_failure' | 'connection_timeout', detail: string) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      this.dialing--;
      if (stats) stats.cxConnectFail++;
      const next = this.takeWaiting();
      this.onGone(connection);
      next?.owner.onReset(reason, detail);
    };
    const timer = setTimeout(() => {
      failed('connection_timeout', '');
      raw?.destroy();
    }, this.cluster.connectTimeoutMs);
    raw = this.runtime.connect(
      { address: this.endpoint.address, port: this.endpoint.port, ...this.cluster.dial },
      this.tls,
      {
        onData: () => undefined,
        onDrain: () => undefined,
        onEnd: () => undefined,
        onClose: (error) => failed('remote_connection_failure', connectDetail(error)),
      },
      (opened) => {
        if (settled) return opened.destroy();
        settled = true;
        clearTimeout(timer);
        this.dialing--;
        connection.openedAt = this.runtime.monotonicMs();
        opened.handler = connection;
        connection.opened(opened);
        this.onIdle(connection);
      },
    );
  }

  private sweepLater(): void {
    const { idleTimeoutMs, maxConnectionMs = 0 } = this.cluster;
    const ends = [idleTimeoutMs, maxConnectionMs].filter((ms) => ms > 0);
    if (this.sweeper !== undefined || ends.length === 0) return;
    this.sweeper = setTimeout(() => this.sweep(), Math.min(...ends, 0x7fffffff));
  }

  private sweep(): void {
    this.sweeper = undefined;
    const now = this.runtime.monotonicMs();
    const { idleTimeoutMs } = this.cluster;
    // Idle connections lie in the order in which they became idle.
    if (idleTimeoutMs > 0)
      while (this.idle.length > 0 && this.idle[0]!.idleSince <= now - idleTimeoutMs) this.idle[0]!.destroy();
    for (const connection of [...this.idle]) if (this.isOld(connection, now)) connection.destroy();
    if (this.idle.length > 0) this.sweepLater();
  }

  private endIfEmpty(): void {
    if (this.all.size === 0 && this.waiting.length === 0) {
      clearTimeout(this.sweeper);
      this.sweeper = undefined;
      this.onEmpty(this);
    }
  }
}

/** `ECONNREFUSED` in Envoy's words; other transports' messages as they are. */
export function connectDetail(error: Error | undefined): string {
  if (error === undefined) return '';
  const code = (error as Error & { code?: string }).code;
  if (code === 'ECONNREFUSED') return 'delayed connect error: Connection refused';
  if (code === 'ECONNRESET') return 'delayed connect error: Connection reset by peer';
  if (code === 'EHOSTUNREACH') return 'delayed connect error: No route to host';
  return error.message;
}

function poolKey(cluster: Cluster): string {
  return cluster.poolKey ?? cluster.name;
}

function poolIdOf(endpoint: Endpoint): string {
  return endpoint.poolId ?? endpoint.id;
}

interface ClusterPools {
  /** The version of the cluster seen last. */
  cluster: Cluster;
  /** By `poolIdOf`. */
  readonly pools: Map<string, EndpointPool>;
}

/** All pools of a proxy. */
export class ConnectionPools {
  private readonly runtime: Runtime;
  private readonly byCluster = new Map<string, ClusterPools>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  /**
   * Finds or dials a connection. `owner.onReady` or `owner.onReset` follows, possibly before this returns.
   * @returns a place in the queue, or undefined when it is already settled
   */
  acquire(cluster: Cluster, endpoint: Endpoint, owner: StreamOwner): Lease | undefined {
    let tls: TlsContext | undefined;
    try {
      tls = endpoint.tls();
    } catch (error) {
      // A TLS context whose secret is missing must not fall back to plaintext.
      owner.onReset('remote_connection_failure', error instanceof Error ? error.message : 'TLS context not ready');
      return undefined;
    }
    return this.poolFor(cluster, endpoint, tls).acquire(owner);
  }

  /** Closes idle connections; those in use end with their request. */
  close(): void {
    for (const { pools } of [...this.byCluster.values()]) for (const pool of [...pools.values()]) pool.retire();
  }

  private poolFor(cluster: Cluster, endpoint: Endpoint, tls: TlsContext | undefined): EndpointPool {
    const key = poolKey(cluster);
    const known = this.byCluster.get(key);
    if (known && known.cluster !== cluster) this.retireGone(known, cluster);
    const found = known?.pools.get(poolIdOf(endpoint));
    if (found && found.tls === tls && found.adopt(cluster)) return found;
    found?.retire();
    const pool = new EndpointPool(this.runtime, cluster, endpoint, tls, (empty) => this.forget(empty));
    // Retiring may have removed the entry.
    let entry = this.byCluster.get(key);
    if (!entry) this.byCluster.set(key, (entry = { cluster, pools: new Map() }));
    entry.pools.set(poolIdOf(endpoint), pool);
    return pool;
  }

  /** After an update of the cluster: closes what is idle to endpoints that are no longer in it. */
  private retireGone(entry: ClusterPools, cluster: Cluster): void {
    entry.cluster = cluster;
    const ids = new Set(cluster.endpoints().map((endpoint) => endpoint.id));
    for (const pool of [...entry.pools.values()]) if (!ids.has(pool.endpointId)) pool.retire();
  }

  private forget(pool: EndpointPool): void {
    const key = pool.poolKey;
    const pools = this.byCluster.get(key)?.pools;
    if (pools?.get(pool.id) !== pool) return;
    pools.delete(pool.id);
    if (pools.size === 0) this.byCluster.delete(key);
  }
}
