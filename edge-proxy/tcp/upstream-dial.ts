/** The upstream connection of a tunnel: which endpoint of the cluster it goes to, and attempts on others where it fails. */
import type { Connection, Runtime } from '../runtime/runtime.ts';
import { xxHash64 } from '../upstream/balancing/xx-hash.ts';
import type { Cluster, Endpoint, Located } from '../upstream/cluster.ts';
import { type DialFailure, type Dialling, dial } from '../upstream/dial.ts';
import type { ConnectionRecord } from './connection-record.ts';

export interface UpstreamDialConfig {
  readonly runtime: Runtime;
  readonly maxAttempts: number;
  /** The client's address decides between the endpoints of a balancer that hashes. */
  readonly bySource: boolean;
  /** The port of a dynamic forward proxy, whose host is the server name; 0: the connection names no host. */
  readonly sniPort: number;
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

  /** The cluster has no endpoints but the one that the server name leads to. */
  private resolveDestination(resolveDestination: NonNullable<Cluster['resolveDestination']>): void {
    const { serverName } = this.record.downstream;
    const { sniPort } = this.config;
    const named = sniPort > 0 && serverName !== '';
    const found = named ? resolveDestination(`${serverName}:${sniPort}`, undefined) : undefined;
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
    const endpoint = found;
    if (cluster.resolveDestination) this.located = endpoint;
    this.endpoint = endpoint;
    this.attempted.push(endpoint);
    record.endpoint = endpoint;
    record.attempts++;
    endpoint.active++;
    const to = { address: endpoint.address, port: endpoint.port, ...cluster.dial };
    this.dialling = dial(this.config.runtime, to, endpoint.tls('raw'), cluster.connectTimeoutMs, {
      onOpen: (connection) => this.opened(connection, endpoint),
      onFailed: (reason, detail) => this.failed(endpoint, reason, detail),
    });
  }

  private opened(connection: Connection, endpoint: Endpoint): void {
    this.dialling = undefined;
    // Success clears the run of failures that outlier detection counts.
    this.cluster.report(endpoint, 200);
    this.record.upstream = connection;
    this.owner.onConnected(connection);
  }

  private failed(endpoint: Endpoint, reason: DialFailure, detail: string): void {
    const { record } = this;
    this.dialling = undefined;
    this.release();
    this.cluster.report(endpoint, 'connect-failure');
    if (!record.flags.includes('UF')) record.flags.push('UF');
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
