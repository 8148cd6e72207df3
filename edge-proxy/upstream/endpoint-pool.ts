/**
 * The connections to one endpoint with one protocol and TLS context, and the requests that wait for a stream on one of them.
 */

import { batchClock } from '../http/codec/batch-clock.ts';
import type { UpstreamProtocol } from '../http/codec/codecs.ts';
import type { UpstreamHttp2Stats } from '../http/codec/h2/upstream-stats.ts';
import type { Clock, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import { type DialFailure, dial, targetOf } from './dial.ts';
import { PooledConnection } from './pooled-connection.ts';
import { type Lease, refusal, type StreamClient } from './stream-client.ts';

const LONGEST_TIMER_MS = 0x7fffffff;

class Waiting implements Lease {
  readonly client: StreamClient;
  private readonly pool: EndpointPool;

  constructor(client: StreamClient, pool: EndpointPool) {
    this.client = client;
    this.pool = pool;
  }

  cancel(): void {
    this.pool.leave(this);
  }
}

/** How an endpoint is reached. */
export interface Reach {
  readonly endpoint: Endpoint;
  readonly protocol: UpstreamProtocol;
  readonly tls: TlsContext | undefined;
}

export class EndpointPool {
  readonly tls: TlsContext | undefined;
  readonly endpoint: Endpoint;
  readonly protocol: UpstreamProtocol;
  private cluster: Cluster;
  private readonly runtime: Runtime;
  private readonly clock: Clock;
  private readonly onEmpty: (pool: EndpointPool) => void;
  /** Those that take another stream. The last used is taken first, so that the others can time out. */
  private readonly available: PooledConnection[] = [];
  private readonly waiting: Waiting[] = [];
  private readonly all = new Set<PooledConnection>();
  /** Dials under way, and connections that wait for the peer's settings: they will carry streams, or fail. */
  private dialling = 0;
  /** Streams that a dialled connection will carry: what the last one carried, before the first what the protocol says. */
  private expectedStreams: number;
  private draining = false;
  private sweeper: ReturnType<typeof setTimeout> | undefined;

  constructor(runtime: Runtime, cluster: Cluster, reach: Reach, onEmpty: (pool: EndpointPool) => void) {
    this.runtime = runtime;
    this.clock = batchClock(runtime);
    this.cluster = cluster;
    this.endpoint = reach.endpoint;
    this.protocol = reach.protocol;
    this.tls = reach.tls;
    this.expectedStreams = reach.protocol.expectedStreams;
    this.onEmpty = onEmpty;
  }

  get http2(): UpstreamHttp2Stats | undefined {
    return this.cluster.http2;
  }

  /** An update of the cluster that keeps its counts and its protocol keeps the connections, under the new limits. */
  adopt(cluster: Cluster, protocol: UpstreamProtocol): boolean {
    if (this.cluster === cluster) return true;
    if (this.cluster.use !== cluster.use || this.protocol !== protocol) return false;
    this.cluster = cluster;
    return true;
  }

  open(client: StreamClient): Lease | undefined {
    const connection = this.takeAvailable();
    if (connection) {
      this.start(connection, client);
      return undefined;
    }
    const { use, limits } = this.cluster;
    if (use.pending >= limits.maxPendingRequests) {
      client.onReset(refusal('overflow', ''));
      return undefined;
    }
    const place = new Waiting(client, this);
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

  /** Takes no new request; those under way complete. */
  drain(): void {
    this.draining = true;
    clearTimeout(this.sweeper);
    for (const connection of [...this.available]) connection.drain();
    this.closeIfEmpty();
  }

  /** The last one that takes another stream; it stays there while it takes more. */
  private takeAvailable(): PooledConnection | undefined {
    const { available, cluster } = this;
    for (;;) {
      const connection = available[available.length - 1];
      if (connection === undefined) return undefined;
      if (cluster.maxConnectionMs && this.isOld(connection)) connection.drain();
      else return connection;
    }
  }

  private start(connection: PooledConnection, client: StreamClient): void {
    if (this.endpoint.stats) this.endpoint.stats.rqTotal++;
    const stream = connection.open(client);
    const { maxRequestsPerConnection } = this.cluster;
    if (maxRequestsPerConnection > 0 && connection.served >= maxRequestsPerConnection) connection.drain();
    else if (connection.free <= 0) this.setUnavailable(connection);
    client.onStream(stream);
  }

  /** A stream of it has ended, its peer allows more or fewer, or it has just been opened. */
  onCapacity(connection: PooledConnection): void {
    if (connection.maxStreams > 0) {
      this.expectedStreams = connection.maxStreams;
      this.settle(connection);
    }
    if (this.isOld(connection)) connection.drain();
    else this.use(connection);
    // It may carry fewer streams than were expected of it, or none any more.
    this.dialIfNeeded();
  }

  /** It has carried streams, or can: it is no dial any more. @returns false: it was none */
  private settle(connection: PooledConnection): boolean {
    if (connection.settled) return false;
    connection.settled = true;
    this.dialling--;
    return true;
  }

  private use(connection: PooledConnection): void {
    for (let next = this.nextWaiting(connection); next; next = this.nextWaiting(connection)) {
      this.start(connection, next.client);
    }
    if (connection.free <= 0) {
      this.setUnavailable(connection);
      return;
    }
    if (this.draining) {
      connection.drain();
      return;
    }
    if (connection.idle) connection.idleSince = this.clock.monotonicMs();
    this.setAvailable(connection);
  }

  private nextWaiting(connection: PooledConnection): Waiting | undefined {
    return connection.free > 0 ? this.takeWaiting() : undefined;
  }

  onClosed(connection: PooledConnection): void {
    if (!this.all.delete(connection)) return;
    this.setUnavailable(connection);
    // Another dial would come to the same: a peer that closes what it accepts must not be dialled in a loop.
    if (this.settle(connection)) this.failExpected('remote_connection_failure', 'closed before it took a stream');
    else this.release();
  }

  private setAvailable(connection: PooledConnection): void {
    if (connection.available) return;
    connection.available = true;
    this.available.push(connection);
    this.sweepLater();
  }

  setUnavailable(connection: PooledConnection): void {
    if (!connection.available) return;
    connection.available = false;
    const { available } = this;
    if (available[available.length - 1] === connection) available.pop();
    else available.splice(available.lastIndexOf(connection), 1);
  }

  private isOld(connection: PooledConnection): boolean {
    const longest = this.cluster.maxConnectionMs ?? 0;
    return longest > 0 && this.clock.monotonicMs() - connection.openedAt >= longest;
  }

  private takeWaiting(): Waiting | undefined {
    const next = this.waiting.shift();
    if (next) this.cluster.use.pending--;
    return next;
  }

  /** As many dials under way as waiting requests need, within the limit; an endpoint may always have one connection. */
  private dialIfNeeded(): void {
    while (this.dialling * this.streamsOfDial < this.waiting.length && this.mayDial()) this.dial();
  }

  private mayDial(): boolean {
    const { use, limits } = this.cluster;
    return use.connections < limits.maxConnections || this.all.size + this.dialling === 0;
  }

  private get streamsOfDial(): number {
    const { maxRequestsPerConnection } = this.cluster;
    const { expectedStreams } = this;
    return maxRequestsPerConnection > 0 ? Math.min(expectedStreams, maxRequestsPerConnection) : expectedStreams;
  }

  private dial(): void {
    const { endpoint, cluster } = this;
    const { stats } = endpoint;
    this.dialling++;
    cluster.use.connections++;
    if (stats) {
      stats.cxTotal++;
      stats.cxActive++;
    }
    dial(this.runtime, targetOf(endpoint, cluster.dial), this.tls, cluster.connectTimeoutMs, {
      onOpen: (opened) => {
        const connection = new PooledConnection(this, opened, this.protocol, this.clock.monotonicMs());
        this.all.add(connection);
        this.onCapacity(connection);
      },
      onFailed: (reason, detail) => this.dialFailed(reason, detail),
    });
  }

  private dialFailed(reason: DialFailure, detail: string): void {
    this.dialling--;
    if (this.endpoint.stats) this.endpoint.stats.cxConnectFail++;
    this.failExpected(reason, detail);
  }

  /** The requests that a connection was to carry fail with it: none waits for the timeout of the next dial. */
  private failExpected(reason: DialFailure, detail: string): void {
    const others = this.dialling * this.streamsOfDial;
    const count = Math.min(Math.max(this.waiting.length - others, 1), this.streamsOfDial);
    const failed = this.waiting.splice(0, count);
    this.cluster.use.pending -= failed.length;
    this.release();
    for (const { client } of failed) client.onReset(refusal(reason, detail));
  }

  /** A connection, or a dial, is no more. */
  private release(): void {
    this.cluster.use.connections--;
    if (this.endpoint.stats) this.endpoint.stats.cxActive--;
    this.dialIfNeeded();
    this.closeIfEmpty();
  }

  private sweepLater(): void {
    if (this.sweeper !== undefined) return;
    const { idleTimeoutMs, maxConnectionMs = 0 } = this.cluster;
    const ends = [idleTimeoutMs, maxConnectionMs].filter((ms) => ms > 0);
    if (ends.length === 0) return;
    this.sweeper = setTimeout(() => this.sweep(), Math.min(...ends, LONGEST_TIMER_MS));
  }

  private sweep(): void {
    this.sweeper = undefined;
    const { idleTimeoutMs } = this.cluster;
    const idleBefore = this.clock.monotonicMs() - idleTimeoutMs;
    for (const connection of [...this.available]) {
      const idleTooLong = idleTimeoutMs > 0 && connection.idle && connection.idleSince <= idleBefore;
      if (idleTooLong || this.isOld(connection)) connection.drain();
    }
    if (this.available.length > 0) this.sweepLater();
  }

  private closeIfEmpty(): void {
    if (this.all.size + this.dialling > 0 || this.waiting.length > 0) return;
    clearTimeout(this.sweeper);
    this.sweeper = undefined;
    this.onEmpty(this);
  }
}
