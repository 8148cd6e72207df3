/**
 * A byte stream to an endpoint in the shape of an HTTP exchange: what a CONNECT that ends here is joined to (Envoy's
 * connect_config). The connection that opens is the 200, what the endpoint sends is the body.
 */
import type { ResponseHead } from '../http/codec/h1/head.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import type { Addresses } from '../http/message/stream.ts';
import type { Connection, ConnectionHandler, Runtime } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import { connectDetail, type Lease, type StreamOwner, type UpstreamStream } from './pool.ts';

/** Opens one, within the cluster's connection limit and connect timeout. The owner hears `onReady` or `onReset`. */
export function dialRaw(runtime: Runtime, cluster: Cluster, endpoint: Endpoint, owner: StreamOwner): Lease | undefined {
  if (cluster.use.connections >= cluster.limits.maxConnections) {
    owner.onReset('overflow', '');
    return undefined;
  }
  return new RawStream(runtime, cluster, endpoint, owner);
}

class RawStream implements UpstreamStream, ConnectionHandler, Lease {
  readonly reused = false;
  private readonly cluster: Cluster;
  private readonly connection: Connection;
  private readonly timer: ReturnType<typeof setTimeout>;
  private owner: StreamOwner | undefined;
  private open = false;
  private answered = false;
  private closed = false;

  get addresses(): Addresses {
    return this.connection;
  }

  constructor(runtime: Runtime, cluster: Cluster, endpoint: Endpoint, owner: StreamOwner) {
    this.cluster = cluster;
    this.owner = owner;
    cluster.use.connections++;
    this.timer = setTimeout(() => this.fail('connection_timeout', ''), cluster.connectTimeoutMs);
    const to = { address: endpoint.address, port: endpoint.port };
    this.connection = runtime.connect(to, endpoint.tls(), this, () => {
      clearTimeout(this.timer);
      if (this.closed) return;
      this.open = true;
      this.owner?.onReady(this);
    });
  }

  /** Leaves before the connection is there. */
  cancel(): void {
    if (!this.open) this.destroy();
  }

  sendHead(): void {}

  sendBody(bytes: Uint8Array): boolean {
    return this.connection.write(bytes);
  }

  sendEnd(): void {}

  /** The first one, with all in place to answer: the stream is open. */
  flush(): void {
    if (this.answered) return;
    this.answered = true;
    this.owner?.onResponseHead(established());
    this.owner?.onResponseFlush();
  }

  endTunnel(): void {
    this.connection.end();
  }

  pause(): void {
    this.connection.pause();
  }

  resume(): void {
    this.connection.resume();
  }

  release(owner: StreamOwner): void {
    if (this.owner !== owner) return;
    this.owner = undefined;
    this.destroy();
  }

  onData(bytes: Uint8Array): void {
    this.flush();
    this.owner?.onResponseBody(bytes);
    this.owner?.onResponseFlush();
  }

  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onDrain(): void {
    this.owner?.onRequestDrain();
  }

  onEnd(): void {
    if (!this.closed) this.owner?.onResponseEnd(undefined);
  }

  onClose(error?: Error): void {
    if (this.closed) return;
    this.fail(this.open ? 'connection_termination' : 'remote_connection_failure', connectDetail(error));
  }

  private fail(reason: 'connection_termination' | 'connection_timeout' | 'remote_connection_failure', detail: string) {
    const { owner } = this;
    this.owner = undefined;
    this.destroy();
    owner?.onReset(reason, detail);
  }

  private destroy(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.timer);
    this.cluster.use.connections--;
    this.connection.destroy();
  }
}

function established(): ResponseHead {
  return {
    status: 200,
    reason: 'OK',
    headers: new HeaderMap(),
    minor: 1,
    framing: 'none',
    contentLength: 0,
    keepAlive: false,
    upgrade: '',
  };
}
