/**
 * A byte stream to an endpoint in the form of an HTTP stream: what a CONNECT that ends here is joined to (Envoy's
 * connect_config). The connection that opens is the 200, what the endpoint sends is the data.
 */
import { HeaderMap } from '../http/message/header-map.ts';
import type { ResponseHead } from '../http/message/message.ts';
import type { Addresses, ResetReason, Sent, UpstreamStream } from '../http/message/stream.ts';
import type { Connection, ConnectionHandler, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import { connectDetail, type DialFailure, dial, targetOf } from './dial.ts';
import { type Lease, refusal, type StreamClient } from './stream-client.ts';

const EMPTY = new Uint8Array(0);

/** Opens one, within the cluster's connection limit and connect timeout. The client hears `onStream` or `onReset`. */
export function openRaw(
  runtime: Runtime,
  cluster: Cluster,
  endpoint: Endpoint,
  tls: TlsContext | undefined,
  client: StreamClient,
): Lease | undefined {
  const { use, limits } = cluster;
  if (use.connections >= limits.maxConnections) {
    client.onReset(refusal('overflow', ''));
    return undefined;
  }
  use.connections++;
  const dialling = dial(runtime, targetOf(endpoint, cluster.dial), tls, cluster.connectTimeoutMs, {
    onOpen: (connection) => client.onStream(new RawStream(connection, cluster, client)),
    onFailed: (reason: DialFailure, detail: string) => {
      use.connections--;
      client.onReset(refusal(reason, detail));
    },
  });
  return {
    cancel: () => {
      if (dialling.cancel()) use.connections--;
    },
  };
}

class RawStream implements UpstreamStream, ConnectionHandler {
  private readonly connection: Connection;
  private readonly cluster: Cluster;
  private readonly client: StreamClient;
  private sent: Sent = 'nothing';
  private answered = false;
  private closed = false;

  constructor(connection: Connection, cluster: Cluster, client: StreamClient) {
    this.connection = connection;
    this.cluster = cluster;
    this.client = client;
    connection.handler = this;
  }

  get addresses(): Addresses {
    return this.connection;
  }

  /** The stream is open; the head itself goes nowhere. */
  head(): void {
    this.sent = 'head';
    queueMicrotask(() => this.answer());
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    if (this.closed) return true;
    this.sent = 'body';
    const room = bytes.length === 0 || this.connection.write(bytes);
    if (end) this.connection.end();
    return room;
  }

  trailers(): void {
    this.connection.end();
  }

  reset(_reason: ResetReason): void {
    this.destroy();
  }

  pause(): void {
    this.connection.pause();
  }

  resume(): void {
    this.connection.resume();
  }

  private answer(): void {
    if (this.answered || this.closed) return;
    this.answered = true;
    this.client.onHead(established(), false);
  }

  onData(bytes: Uint8Array): void {
    this.answer();
    if (!this.closed) this.client.onData(bytes, false);
  }

  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onDrain(): void {
    if (!this.closed) this.client.onWritable();
  }

  onEnd(): void {
    this.answer();
    if (!this.closed) this.client.onData(EMPTY, true);
  }

  onClose(error?: Error): void {
    if (this.closed) return;
    const { sent } = this;
    this.destroy();
    const detail = connectDetail(error);
    this.client.onReset({ reason: 'connection_termination', detail, sent, reusedConnection: false });
  }

  private destroy(): void {
    if (this.closed) return;
    this.closed = true;
    this.cluster.use.connections--;
    this.connection.destroy();
  }
}

function established(): ResponseHead {
  return { status: 200, reason: 'OK', headers: new HeaderMap(), bodySize: undefined, upgrade: '', version: 'HTTP/1.1' };
}
