/** envoy.filters.network.tcp_proxy: bytes both ways between a downstream connection and one endpoint of a cluster. */

import type { TcpProxy as TcpProxyConfig } from '../../shared/xds/listener.ts';
import { durationMs } from '../../shared/xds/message.ts';
import type { DownstreamInfo } from '../http/request/request-context.ts';
import { type Denied, logDenial } from '../listener/connection-filter.ts';
import type { ConnectionFacts } from '../listener/filter-chain.ts';
import type { Reassign, Terminal } from '../listener/listener.ts';
import type { Connection, Runtime } from '../runtime/runtime.ts';
import type { ClusterSet } from '../upstream/cluster.ts';
import { sharedPool } from '../upstream/upstream-pool.ts';
import { type ConnectionEvents, type ConnectionRecord, connectionRecord } from './connection-record.ts';
import { type TunnelRequest, tunnelRequest } from './http-tunnel.ts';
import type { ServedStream } from './served-stream.ts';
import type { TcpStats } from './tcp-stats.ts';
import { Tunnel } from './tunnel.ts';
import type { UpstreamDialConfig } from './upstream-dial.ts';
import { WaitingConnection, type WaitingOwner } from './waiting-connection.ts';

const DEFAULT_IDLE_MS = 3_600_000;

export class TcpProxy implements Terminal, WaitingOwner {
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
  readonly tunnel: UpstreamDialConfig['tunnel'];
  readonly tunnels = new Set<Tunnel>();
  /** Connections whose cluster is being fetched. */
  readonly waiting = new Set<WaitingConnection>();
  private readonly choices: readonly { name: string; upTo: number }[];
  private readonly total: number;

  /** @throws Error when neither or both of cluster and weightedClusters are given, weights add up to nothing, or tunnelingConfig is not valid */
  constructor(
    config: TcpProxyConfig,
    clusters: ClusterSet,
    runtime: Runtime,
    events: ConnectionEvents,
    stats: TcpStats,
    sniPort = 0,
  ) {
    this.sniPort = sniPort;
    const request = tunnelRequest(config);
    this.tunnel = request && { request, streams: sharedPool(runtime) };
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
    // `slice` of a Buffer would be a view.
    const early = firstBytes && firstBytes.length > 0 ? [new Uint8Array(firstBytes)] : [];
    const cluster = this.clusters.get(name);
    if (cluster) {
      record.cluster = cluster;
      new Tunnel(this, cluster, connection, record, facts, early).start();
      return;
    }
    const fetch = this.clusters.fetch?.(name);
    if (fetch) new WaitingConnection(this, fetch, connection, record, facts, early);
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

  denied(downstream: DownstreamInfo, denied: Denied): void {
    const record = connectionRecord(downstream, this.runtime.monotonicMs());
    logDenial(record, denied);
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
    if (!(next instanceof TcpProxy) || !sameTunnel(next.tunnel?.request, this.tunnel?.request)) return undefined;
    return next.choices.some(({ name }) => name === cluster) ? next : undefined;
  }

  closeAll(): void {
    for (const tunnel of [...this.tunnels]) tunnel.close(new Error('tcp_proxy: drained'));
    for (const waiting of [...this.waiting]) waiting.close(new Error('tcp_proxy: drained'));
  }

  private pick(point: number): string {
    return (this.choices.find(({ upTo }) => point < upTo) ?? this.choices[this.choices.length - 1]!).name;
  }
}

function sameTunnel(a: TunnelRequest | undefined, b: TunnelRequest | undefined): boolean {
  return a?.target === b?.target && a?.postPath === b?.postPath;
}
