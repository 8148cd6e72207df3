/** A downstream connection of the TCP proxy and its upstream: bytes both ways, until both ends, an error or a time limit. */
import type { DownstreamInfo } from '../http/request/request-context.ts';
import { LazyTimer } from '../http/request/timers.ts';
import type { ConnectionFacts } from '../listener/filter-chain.ts';
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { ConnectionEvents, ConnectionRecord } from './connection-record.ts';
import type { ServedStream } from './served-stream.ts';
import type { TcpStats } from './tcp-stats.ts';
import { UpstreamDial, type UpstreamDialConfig, type UpstreamDialOwner } from './upstream-dial.ts';

/** The proxy that serves the tunnel. */
export interface TunnelOwner extends UpstreamDialConfig {
  /** Milliseconds without bytes; 0: no limit. */
  readonly idleMs: number;
  /** Milliseconds; 0: no limit. */
  readonly maxDurationMs: number;
  readonly events: Pick<ConnectionEvents, 'opened'>;
  readonly stats: TcpStats;
  readonly tunnels: Set<Tunnel>;
  /** Called once for every connection. */
  ended(record: ConnectionRecord): void;
}

export class Tunnel implements ServedStream, UpstreamDialOwner {
  private proxy: TunnelOwner;
  readonly cluster: Cluster;
  readonly facts: ConnectionFacts | undefined;
  private readonly down: Connection;
  private readonly record: ConnectionRecord;
  private readonly upstream: UpstreamDial;
  private up: Connection | undefined;
  /** Bytes that came before the upstream was open. */
  private early: Uint8Array[];
  /** Its upstream counts among the connections of the cluster here; one through an HTTP proxy does in the pool. */
  private readonly counts: boolean;
  private downEnded = false;
  private upEnded = false;
  private closed = false;
  private readonly idle: LazyTimer;
  private lifetime: ReturnType<typeof setTimeout> | undefined;

  /** @param early what was read of the connection, in memory of its own */
  constructor(
    proxy: TunnelOwner,
    cluster: Cluster,
    down: Connection,
    record: ConnectionRecord,
    facts: ConnectionFacts | undefined,
    early: Uint8Array[],
  ) {
    this.facts = facts;
    this.record = record;
    record.bytesReceived = early.reduce((sum, { length }) => sum + length, 0);
    this.proxy = proxy;
    this.counts = proxy.tunnel === undefined;
    this.cluster = cluster;
    this.down = down;
    this.early = early;
    this.upstream = new UpstreamDial(proxy, cluster, record, this);
    this.idle = new LazyTimer(
      () => this.proxy.runtime.monotonicMs(),
      () => this.onIdle(),
    );
  }

  get downstream(): DownstreamInfo {
    return this.record.downstream;
  }

  /** Another version of the config serves it from now on. */
  moveTo(proxy: TunnelOwner): void {
    const { proxy: before } = this;
    before.tunnels.delete(this);
    before.stats.active.value--;
    this.proxy = proxy;
    this.upstream.config = proxy;
    proxy.tunnels.add(this);
    proxy.stats.active.value++;
  }

  start(): void {
    const { cluster } = this;
    if (this.counts && cluster.use.connections >= cluster.limits.maxConnections) {
      this.record.flags.push('UO');
      this.proxy.ended(this.record);
      this.down.destroy(new Error('tcp_proxy: upstream connection limit'));
      return;
    }
    if (this.counts) cluster.use.connections++;
    this.proxy.tunnels.add(this);
    this.proxy.stats.active.value++;
    const { maxDurationMs } = this.proxy;
    if (maxDurationMs > 0) this.lifetime = setTimeout(() => this.expire(), maxDurationMs);
    this.down.handler = new DownSide(this);
    // Nothing more is read until there is somewhere to write it.
    this.down.pause();
    this.upstream.start();
  }

  /** As Envoy: ends the connection also while data is in flight. */
  private expire(): void {
    this.record.flags.push('DT');
    this.proxy.stats.maxDuration.value++;
    this.close(new Error('tcp_proxy: the connection is at its longest duration'));
  }

  private onIdle(): void {
    this.proxy.stats.idleTimeout.value++;
    this.close(new Error('tcp_proxy: idle timeout'));
  }

  onConnected(up: Connection): void {
    this.up = up;
    up.handler = new UpSide(this);
    this.proxy.events.opened?.(this.record);
    let room = true;
    for (const bytes of this.early) room = up.write(bytes);
    this.early = [];
    if (this.downEnded) up.end();
    if (room) this.down.resume();
    this.touch();
  }

  onFailed(error: Error): void {
    this.close(error);
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
    this.upstream.release();
    this.up = undefined;
    // The client may not have taken all yet: the idle time limits how long it may leave that.
    if (!error && this.bothEnded && this.down.buffered > 0) return;
    this.close(error);
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
    this.idle.stop();
    clearTimeout(this.lifetime);
    const { stats, tunnels } = this.proxy;
    tunnels.delete(this);
    stats.active.value--;
    stats.received.value += this.record.bytesReceived;
    stats.sent.value += this.record.bytesSent;
    if (this.counts) this.cluster.use.connections--;
    // After an orderly end both sides have sent everything; a reset on one side is a reset on the other.
    if (error || !this.bothEnded) {
      this.down.destroy(error);
      this.up?.destroy(error);
    }
    this.upstream.cancel();
    this.proxy.ended(this.record);
  }

  private touch(): void {
    if (!this.closed) this.idle.set(this.proxy.idleMs);
  }
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
