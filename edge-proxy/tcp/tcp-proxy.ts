/** envoy.filters.network.tcp_proxy: bytes both ways between a downstream connection and one endpoint of a cluster. */

import type { TcpProxy as TcpProxyConfig } from '../../shared/xds/listener.ts';
import { durationMs } from '../../shared/xds/message.ts';
import type { DownstreamInfo } from '../http/request/request-context.ts';
import type { ConnectionFacts } from '../listener/filter-chain.ts';
import type { Reassign, Terminal } from '../listener/listener.ts';
import type { Connection, ConnectionHandler, Runtime } from '../runtime/runtime.ts';
import { xxHash64 } from '../upstream/balancing/xx-hash.ts';
import type { Cluster, ClusterSet, Endpoint, Located } from '../upstream/cluster.ts';
import { type DialFailure, type Dialling, dial } from '../upstream/dial.ts';
import { type FetchOutcome, fetchFailure, type PendingFetch } from '../upstream/fetches.ts';
import { type ConnectionEvents, type ConnectionRecord, connectionRecord } from './connection-record.ts';
import type { TcpStats } from './tcp-stats.ts';

const DEFAULT_IDLE_MS = 3_600_000;

export class TcpProxy implements Terminal {
  readonly runtime: Runtime;
  readonly clusters: ClusterSet;
  readonly idleMs: number;
  readonly maxAttempts: number;
  readonly events: ConnectionEvents;
  readonly stats: TcpStats;
  /** Milliseconds; 0: no limit. */
  readonly maxDurationMs: number;
  /** The client's address decides between the endpoints of a balancer that hashes. */
  readonly bySource: boolean;
  /** The port of a dynamic forward proxy, whose host is the server name; 0: the connection names no host. */
  readonly sniPort: number;
  readonly tunnels = new Set<Tunnel>();
  /** Connections whose cluster is being fetched. */
  readonly waiting = new Set<WaitingConnection>();
  private readonly choices: readonly { name: string; upTo: number }[];
  private readonly total: number;

  /** @throws Error when neither or both of cluster and weightedClusters are given, or weights add up to nothing */
  constructor(
    config: TcpProxyConfig,
    clusters: ClusterSet,
    runtime: Runtime,
    events: ConnectionEvents,
    stats: TcpStats,
    sniPort = 0,
  ) {
    this.sniPort = sniPort;
    this.bySource = (config.hashPolicy?.length ?? 0) > 0;
    this.stats = stats;
    const { maxDownstreamConnectionDuration: longest } = config;
    this.maxDurationMs = longest === undefined ? 0 : durationMs(longest);
    this.events = events;
    this.runtime = runtime;
    this.clusters = clusters;
    this.idleMs = config.idleTimeout === undefined ? DEFAULT_IDLE_MS : durationMs(config.idleTimeout);
    this.maxAttempts = config.maxConnectAttempts ?? 1;
    const weighted = config.weightedClusters?.clusters ?? [];
    if ((config.cluster ? 1 : 0) + (weighted.length > 0 ? 1 : 0) !== 1)
      throw new Error('tcp_proxy: needs exactly one of cluster and weightedClusters');
    let sum = 0;
    this.choices = config.cluster
      ? [{ name: config.cluster, upTo: (sum = 1) }]
      : weighted.map(({ name, weight }) => ({ name, upTo: (sum += weight) }));
    this.total = sum;
    if (sum === 0) throw new Error('tcp_proxy: the weights of weightedClusters add up to 0');
    if (this.maxAttempts < 1) throw new Error('tcp_proxy: maxConnectAttempts must be at least 1');
  }

  accept(
    connection: Connection,
    downstream: DownstreamInfo,
    firstBytes?: Uint8Array,
    facts?: ConnectionFacts,
    record = connectionRecord(downstream, this.runtime.monotonicMs()),
  ): void {
    this.stats.total.value++;
    const name = this.pick(this.runtime.random() * this.total);
    const cluster = this.clusters.get(name);
    if (cluster) {
      record.cluster = cluster;
      new Tunnel(this, cluster, connection, record, facts, firstBytes).start();
      return;
    }
    const fetch = this.clusters.fetch?.(name);
    if (fetch) new WaitingConnection(this, fetch, connection, record, facts, firstBytes);
    else this.refuse(name, connection, record);
  }

  /** There is no such cluster. @param reason goes to the log */
  refuse(name: string, connection: Connection, record: ConnectionRecord, reason?: string): void {
    record.flags.push('NC');
    if (reason !== undefined) record.terminationDetails = reason;
    this.stats.noRoute.value++;
    this.ended(record);
    connection.destroy(new Error(`tcp_proxy: no cluster "${name}"`));
  }

  denied(downstream: DownstreamInfo, details: string): void {
    const record = connectionRecord(downstream, this.runtime.monotonicMs());
    record.terminationDetails = details;
    this.ended(record);
  }

  /** Called once for every connection. */
  ended(record: ConnectionRecord): void {
    const { closed } = this.events;
    if (closed === undefined) return;
    record.endMs = this.runtime.monotonicMs();
    closed(record);
  }

  /** Byte streams have no good moment to end: they live until a peer ends them, or until they are cut. */
  drain(): void {}

  /** A stream stays where it is allowed and would be sent to the same cluster; the others are closed after the drain time. */
  handOverTo(reassign: Reassign): (() => void) | undefined {
    const leaving: Tunnel[] = [];
    for (const tunnel of [...this.tunnels]) {
      const next = this.successorOf(tunnel, tunnel.cluster.name, reassign);
      if (next === undefined) leaving.push(tunnel);
      else if (next !== this) tunnel.moveTo(next);
    }
    for (const waiting of [...this.waiting]) {
      const next = this.successorOf(waiting, waiting.cluster, reassign);
      // Nothing of it was sent.
      if (next === undefined) waiting.close(new Error('tcp_proxy: the connection is not served any more'));
      else if (next !== this) waiting.moveTo(next);
    }
    if (leaving.length === 0) return undefined;
    return () => {
      for (const tunnel of leaving) tunnel.close(new Error('tcp_proxy: the connection is not served any more'));
    };
  }

  /** Where a stream to this cluster may stay; undefined: nowhere. */
  private successorOf({ facts, downstream }: ServedStream, cluster: string, reassign: Reassign): TcpProxy | undefined {
    const next = facts && reassign(facts, downstream);
    if (next === this) return this;
    return next instanceof TcpProxy && next.choices.some(({ name }) => name === cluster) ? next : undefined;
  }

  closeAll(): void {
    for (const tunnel of [...this.tunnels]) tunnel.close(new Error('tcp_proxy: drained'));
    for (const waiting of [...this.waiting]) waiting.close(new Error('tcp_proxy: drained'));
  }

  private pick(point: number): string {
    return (this.choices.find(({ upTo }) => point < upTo) ?? this.choices[this.choices.length - 1]!).name;
  }
}

/** What decides where a connection belongs. */
interface ServedStream {
  readonly facts: ConnectionFacts | undefined;
  readonly downstream: DownstreamInfo;
}

/** A connection whose cluster is being fetched. Nothing more is read of it meanwhile. */
class WaitingConnection implements ConnectionHandler, ServedStream {
  private proxy: TcpProxy;
  readonly facts: ConnectionFacts | undefined;
  /** The one that is fetched. */
  readonly cluster: string;
  private readonly connection: Connection;
  private readonly record: ConnectionRecord;
  private readonly early: Uint8Array[] = [];
  private ended = false;

  constructor(
    proxy: TcpProxy,
    fetch: PendingFetch,
    connection: Connection,
    record: ConnectionRecord,
    facts: ConnectionFacts | undefined,
    firstBytes: Uint8Array | undefined,
  ) {
    this.proxy = proxy;
    this.facts = facts;
    this.cluster = fetch.name;
    this.connection = connection;
    this.record = record;
    if (firstBytes) this.onData(firstBytes);
    proxy.waiting.add(this);
    connection.handler = this;
    connection.pause();
    void fetch.done.then((outcome) => this.fetched(fetch.name, outcome));
  }

  get downstream(): DownstreamInfo {
    return this.record.downstream;
  }

  /** Another version of the config serves it from now on. */
  moveTo(proxy: TcpProxy): void {
    this.proxy.waiting.delete(this);
    this.proxy = proxy;
    proxy.waiting.add(this);
  }

  private fetched(name: string, outcome: FetchOutcome): void {
    const { proxy, connection, record } = this;
    if (!proxy.waiting.delete(this)) return;
    const cluster = proxy.clusters.get(name);
    if (!cluster) {
      proxy.refuse(name, connection, record, fetchFailure(outcome));
      return;
    }
    record.cluster = cluster;
    const tunnel = new Tunnel(proxy, cluster, connection, record, this.facts, joined(this.early));
    tunnel.start();
    if (this.ended) tunnel.endDown();
  }

  /** A runtime may hand over what it had read before the pause took effect. */
  onData(bytes: Uint8Array): void {
    this.early.push(new Uint8Array(bytes));
  }

  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onDrain(): void {}

  onEnd(): void {
    this.ended = true;
  }

  onClose(): void {
    if (!this.proxy.waiting.delete(this)) return;
    this.record.flags.push('DC');
    this.proxy.ended(this.record);
  }

  close(error: Error): void {
    if (!this.proxy.waiting.delete(this)) return;
    this.proxy.ended(this.record);
    this.connection.destroy(error);
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array | undefined {
  if (chunks.length <= 1) return chunks[0];
  const out = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** One downstream connection and its upstream. */
class Tunnel implements ServedStream {
  private proxy: TcpProxy;
  readonly cluster: Cluster;
  /** What its chain was chosen by. */
  readonly facts: ConnectionFacts | undefined;
  private readonly down: Connection;
  private readonly record: ConnectionRecord;
  private up: Connection | undefined;
  private endpoint: Endpoint | undefined;
  /** Bytes that came before the upstream was open. */
  private early: Uint8Array[];
  private downEnded = false;
  private upEnded = false;
  private closed = false;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private lifetime: ReturnType<typeof setTimeout> | undefined;
  private dialling: Dialling | undefined;
  private readonly tried: Endpoint[] = [];
  private located: Endpoint | undefined;

  constructor(
    proxy: TcpProxy,
    cluster: Cluster,
    down: Connection,
    record: ConnectionRecord,
    facts: ConnectionFacts | undefined,
    firstBytes: Uint8Array | undefined,
  ) {
    this.facts = facts;
    this.record = record;
    record.bytesReceived = firstBytes?.length ?? 0;
    this.proxy = proxy;
    this.cluster = cluster;
    this.down = down;
    this.early = firstBytes && firstBytes.length > 0 ? [new Uint8Array(firstBytes)] : [];
  }

  get downstream(): DownstreamInfo {
    return this.record.downstream;
  }

  /** Another version of the config serves it from now on. */
  moveTo(proxy: TcpProxy): void {
    const { proxy: before } = this;
    before.tunnels.delete(this);
    before.stats.active.value--;
    this.proxy = proxy;
    proxy.tunnels.add(this);
    proxy.stats.active.value++;
  }

  start(): void {
    const { cluster } = this;
    if (cluster.use.connections >= cluster.limits.maxConnections) {
      this.record.flags.push('UO');
      this.proxy.ended(this.record);
      this.down.destroy(new Error('tcp_proxy: upstream connection limit'));
      return;
    }
    cluster.use.connections++;
    this.proxy.tunnels.add(this);
    this.proxy.stats.active.value++;
    const { maxDurationMs } = this.proxy;
    if (maxDurationMs > 0) this.lifetime = setTimeout(() => this.expire(), maxDurationMs);
    this.down.handler = new DownSide(this);
    // Nothing more is read until there is somewhere to write it.
    this.down.pause();
    if (this.cluster.resolveDestination) this.resolveDestination(this.cluster.resolveDestination);
    else this.dial();
  }

  /** The cluster has no endpoints but the one that the server name leads to. */
  private resolveDestination(resolveDestination: NonNullable<Cluster['resolveDestination']>): void {
    const { serverName } = this.record.downstream;
    const named = this.proxy.sniPort > 0 && serverName !== '';
    const found = named ? resolveDestination(`${serverName}:${this.proxy.sniPort}`, undefined) : undefined;
    if (!(found instanceof Promise)) {
      this.dial(found);
      return;
    }
    void found.then((located) => {
      if (!this.closed) this.dial(located);
    });
  }

  /** As Envoy: ends the connection also while data is in flight. */
  private expire(): void {
    this.record.flags.push('DT');
    this.proxy.stats.maxDuration.value++;
    this.close(new Error('tcp_proxy: the connection is at its longest duration'));
  }

  private choose(): Endpoint | undefined {
    const { bySource } = this.proxy;
    return this.cluster.pick(bySource ? xxHash64(this.record.downstream.remoteAddress) : undefined, this.tried);
  }

  private dial(found: Located = this.cluster.resolveDestination ? this.located : this.choose()): void {
    if (typeof found !== 'object') {
      this.record.flags.push(found === 'unresolved' ? 'DF' : 'UH');
      this.close(new Error('tcp_proxy: no healthy upstream'));
      return;
    }
    const endpoint = found;
    this.located = found;
    this.endpoint = endpoint;
    this.tried.push(endpoint);
    this.record.endpoint = endpoint;
    this.record.attempts++;
    endpoint.active++;
    const to = { address: endpoint.address, port: endpoint.port, ...this.cluster.dial };
    this.dialling = dial(this.proxy.runtime, to, endpoint.tls('raw'), this.cluster.connectTimeoutMs, {
      onOpen: (connection) => this.opened(connection, endpoint),
      onFailed: (reason, detail) => this.failedToConnect(endpoint, reason, detail),
    });
  }

  private opened(up: Connection, endpoint: Endpoint): void {
    this.dialling = undefined;
    this.up = up;
    up.handler = new UpSide(this);
    // Success clears the run of failures that outlier detection counts.
    this.cluster.report(endpoint, 200);
    this.record.upstream = up;
    this.proxy.events.opened?.(this.record);
    let room = true;
    for (const bytes of this.early) room = up.write(bytes);
    this.early = [];
    if (this.downEnded) up.end();
    if (room) this.down.resume();
    this.touch();
  }

  fromDown(bytes: Uint8Array): void {
    const { up } = this;
    this.record.bytesReceived += bytes.length;
    if (!up) {
      // A runtime may hand over what it had read before the pause took effect. `slice` of a Buffer would be a view.
      this.early.push(new Uint8Array(bytes));
      return;
    }
    this.touch();
    if (!up.write(bytes)) this.down.pause();
  }

  fromUp(bytes: Uint8Array): void {
    this.record.bytesSent += bytes.length;
    this.touch();
    if (!this.down.write(bytes)) this.up?.pause();
  }

  drainDown(): void {
    this.up?.resume();
  }

  drainUp(): void {
    this.down.resume();
  }

  endDown(): void {
    this.downEnded = true;
    this.up?.end();
  }

  endUp(): void {
    this.upEnded = true;
    this.down.end();
  }

  /** Both directions are done: the sockets close by themselves once flushed. */
  private get bothEnded(): boolean {
    return this.downEnded && this.upEnded;
  }

  closedUp(error: Error | undefined): void {
    this.endpointGone();
    this.up = undefined;
    // The client may not have taken all yet: the idle time limits how long it may leave that.
    if (!error && this.bothEnded && this.down.buffered > 0) return;
    this.close(error);
  }

  private endpointGone(): void {
    if (this.endpoint) this.endpoint.active--;
    this.endpoint = undefined;
  }

  private failedToConnect(endpoint: Endpoint, reason: DialFailure, detail: string): void {
    const { record } = this;
    this.dialling = undefined;
    this.endpointGone();
    this.cluster.report(endpoint, 'connect-failure');
    if (!record.flags.includes('UF')) record.flags.push('UF');
    record.upstreamFailure = reason === 'connection_timeout' ? 'connect_timeout' : detail.replace(/\s/g, '_');
    if (this.tried.length < this.proxy.maxAttempts) {
      this.dial();
      return;
    }
    record.flags.push('URX');
    this.close(new Error('tcp_proxy: no upstream connection'));
  }

  /** The client went away; before there was an upstream that is worth a flag. */
  closedDown(error: Error | undefined): void {
    if (!this.closed && !this.up && !this.bothEnded) this.record.flags.push('DC');
    if (!error && this.bothEnded && this.up && this.up.buffered > 0) return;
    this.close(error);
  }

  close(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.idle);
    clearTimeout(this.lifetime);
    const { stats, tunnels } = this.proxy;
    tunnels.delete(this);
    stats.active.value--;
    stats.received.value += this.record.bytesReceived;
    stats.sent.value += this.record.bytesSent;
    this.cluster.use.connections--;
    // After an orderly end both sides have sent everything; a reset on one side is a reset on the other.
    if (error || !this.bothEnded) {
      this.down.destroy(error);
      this.up?.destroy(error);
    }
    if (this.dialling?.cancel()) this.endpointGone();
    this.proxy.ended(this.record);
  }

  private touch(): void {
    if (this.proxy.idleMs === 0) return;
    // One timer, moved lazily, instead of one per chunk.
    this.lastActive = this.proxy.runtime.monotonicMs();
    this.idle ??= setTimeout(this.onIdle, this.proxy.idleMs);
  }

  private lastActive = 0;
  private readonly onIdle = (): void => {
    const left = this.lastActive + this.proxy.idleMs - this.proxy.runtime.monotonicMs();
    if (left <= 1) {
      this.proxy.stats.idleTimeout.value++;
      this.close(new Error('tcp_proxy: idle timeout'));
    } else this.idle = setTimeout(this.onIdle, left);
  };
}

class DownSide implements ConnectionHandler {
  private readonly tunnel: Tunnel;
  constructor(tunnel: Tunnel) {
    this.tunnel = tunnel;
  }
  onData(bytes: Uint8Array): void {
    this.tunnel.fromDown(bytes);
  }
  onLent(bytes: Uint8Array): void {
    this.tunnel.fromDown(bytes);
  }
  onDrain(): void {
    this.tunnel.drainDown();
  }
  onEnd(): void {
    this.tunnel.endDown();
  }
  onClose(error?: Error): void {
    this.tunnel.closedDown(error);
  }
}

class UpSide implements ConnectionHandler {
  private readonly tunnel: Tunnel;
  constructor(tunnel: Tunnel) {
    this.tunnel = tunnel;
  }
  onData(bytes: Uint8Array): void {
    this.tunnel.fromUp(bytes);
  }
  onLent(bytes: Uint8Array): void {
    this.tunnel.fromUp(bytes);
  }
  onDrain(): void {
    this.tunnel.drainUp();
  }
  onEnd(): void {
    this.tunnel.endUp();
  }
  onClose(error?: Error): void {
    this.tunnel.closedUp(error);
  }
}
