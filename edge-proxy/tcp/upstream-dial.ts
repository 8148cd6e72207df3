/** The upstream connection of a tunnel: which endpoint of the cluster it goes to, and attempts on others where it fails. */
import type { ResetReason } from '../http/message/stream.ts';
import type { Connection, Runtime } from '../runtime/runtime.ts';
import { xxHash64 } from '../upstream/balancing/xx-hash.ts';
import type { Cluster, Endpoint, Located } from '../upstream/cluster.ts';
import { type Dialling, dial, targetOf } from '../upstream/dial.ts';
import type { StreamSource } from '../upstream/stream-client.ts';
import type { ConnectionRecord } from './connection-record.ts';
import { openTunnel, type TunnelClient, type TunnelRequest } from './http-tunnel.ts';

export interface UpstreamDialConfig {
  readonly runtime: Runtime;
  readonly maxAttempts: number;
  /** The client's address decides between the endpoints of a balancer that hashes. */
  readonly bySource: boolean;
  /** The port of a dynamic forward proxy, whose host is the server name; 0: the connection names no host. */
  readonly sniPort: number;
  /** The endpoints are HTTP proxies: each connection is a tunnel through one; absent: they are dialled. */
  readonly tunnel?: { readonly request: TunnelRequest; readonly streams: StreamSource } | undefined;
}

export interface UpstreamDialOwner {
  /** Once, unless `onFailed` is called. */
  onConnected(connection: Connection): void;
  /** There is no endpoint, or all attempts failed; the record has the flags. */
  onFailed(error: Error): void;
}

export class UpstreamDial {
  /** Replaced where another version of the config serves the tunnel. */
  config: UpstreamDialConfig;
  private readonly cluster: Cluster;
  private readonly record: ConnectionRecord;
  private readonly owner: UpstreamDialOwner;
  private endpoint: Endpoint | undefined;
  private dialling: Dialling | undefined;
  private readonly attempted: Endpoint[] = [];
  /** The endpoint of a cluster that has none but the one that the connection names. */
  private located: Endpoint | undefined;
  private cancelled = false;

  /** @param record is given endpoint, attempts, flags and the reason of a failure */
  constructor(config: UpstreamDialConfig, cluster: Cluster, record: ConnectionRecord, owner: UpstreamDialOwner) {
    this.config = config;
    this.cluster = cluster;
    this.record = record;
    this.owner = owner;
  }

  start(): void {
    const { resolveDestination } = this.cluster;
    if (resolveDestination) this.resolveDestination(resolveDestination);
    else this.dial(this.choose());
  }

  /** The cluster has no endpoints but the one that the server name, or the original destination, leads to. */
  private resolveDestination(resolveDestination: NonNullable<Cluster['resolveDestination']>): void {
    const { downstream } = this.record;
    const { sniPort } = this.config;
    const name = sniPort > 0 && downstream.serverName !== '' ? `${downstream.serverName}:${sniPort}` : '';
    const found = name === '' && !downstream.redirected ? undefined : resolveDestination(name, undefined, downstream);
    if (!(found instanceof Promise)) {
      this.dial(found);
      return;
    }
    void found.then((located) => {
      if (!this.cancelled) this.dial(located);
    });
  }

  private choose(): Endpoint | undefined {
    const hash = this.config.bySource ? xxHash64(this.record.downstream.remoteAddress) : undefined;
    return this.cluster.pick(hash, this.attempted);
  }

  private dial(found: Located): void {
    const { cluster, record } = this;
    if (typeof found !== 'object') {
      record.flags.push(found === 'unresolved' ? 'DF' : 'UH');
      this.owner.onFailed(new Error('tcp_proxy: no healthy upstream'));
      return;
    }
    const endpoint = cluster.forClient?.(found, record.downstream) ?? found;
    if (cluster.resolveDestination) this.located = found;
    this.endpoint = endpoint;
    this.attempted.push(endpoint);
    record.endpoint = endpoint;
    record.attempts++;
    endpoint.active++;
    this.dialling = this.reach(endpoint, {
      onOpen: (connection: Connection) => this.opened(connection, endpoint),
      onFailed: (reason: ResetReason, detail: string) => this.failed(endpoint, reason, detail),
    });
  }

  private reach(endpoint: Endpoint, client: TunnelClient): Dialling {
    const { cluster } = this;
    const { runtime, tunnel } = this.config;
    if (tunnel) return openTunnel(tunnel.streams, { cluster, endpoint }, tunnel.request, client);
    const to = targetOf(endpoint, cluster.dial);
    const named = to.tunnel ? { ...to, tunnel: { ...to.tunnel, client: this.record.downstream } } : to;
    return dial(runtime, named, endpoint.tls('raw'), cluster.connectTimeoutMs, client);
  }

  private opened(connection: Connection, endpoint: Endpoint): void {
    this.dialling = undefined;
    // Success clears the run of failures that outlier detection counts.
    this.cluster.report(endpoint, 200);
    this.record.upstream = connection;
    this.owner.onConnected(connection);
  }

  private failed(endpoint: Endpoint, reason: ResetReason, detail: string): void {
    const { record } = this;
    this.dialling = undefined;
    this.release();
    this.cluster.report(endpoint, 'connect-failure');
    const flag = reason === 'overflow' ? 'UO' : 'UF';
    if (!record.flags.includes(flag)) record.flags.push(flag);
    record.upstreamFailure = reason === 'connection_timeout' ? 'connect_timeout' : detail.replace(/\s/g, '_');
    if (this.attempted.length < this.config.maxAttempts) {
      this.dial(this.located ?? this.choose());
      return;
    }
    record.flags.push('URX');
    this.owner.onFailed(new Error('tcp_proxy: no upstream connection'));
  }

  /** The connection is closed, or was not made: the endpoint serves one less. */
  release(): void {
    if (this.endpoint) this.endpoint.active--;
    this.endpoint = undefined;
  }

  /** Stops what is under way; neither event follows. A connection that is open stays. */
  cancel(): void {
    this.cancelled = true;
    if (this.dialling?.cancel()) this.release();
  }
}
