/**
 * A TCP connection through an HTTP proxy (Envoy's tcp_proxy `tunneling_config`): CONNECT (RFC 9110 section 9.3.6) or POST on a
 * stream of the cluster's pool, over HTTP/1.1 or HTTP/2. What opens is a connection like one that was dialled.
 */
import type { TcpProxy as TcpProxyConfig } from '../../shared/xds/listener.ts';
import { fromLatin1 } from '../http/codec/bytes.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../http/message/message.ts';
import type { ResetReason, StreamReset, UpstreamStream } from '../http/message/stream.ts';
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import type { Dialling } from '../upstream/dial.ts';
import type { Lease, StreamClient, StreamSource } from '../upstream/stream-client.ts';

const EMPTY = new Uint8Array(0);
const UNREAD: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

/** The request that opens a tunnel, as it is configured. */
export interface TunnelRequest {
  /** `host:port` that the tunnel leads to. */
  readonly target: string;
  /** undefined: CONNECT. */
  readonly postPath: string | undefined;
}

/** @throws Error naming the field that is not valid */
export function tunnelRequest({ tunnelingConfig: config }: TcpProxyConfig): TunnelRequest | undefined {
  if (config === undefined) return undefined;
  if (!/^[\x21-\x24\x26-\x7e]+$/.test(config.hostname))
    throw new Error('tcp_proxy: tunnelingConfig.hostname must be host:port, without substitutions');
  if (config.postPath && !config.usePost) throw new Error('tcp_proxy: tunnelingConfig.postPath needs usePost');
  if (config.postPath && !/^\/[\x21-\x7e]*$/.test(config.postPath))
    throw new Error('tcp_proxy: tunnelingConfig.postPath must be a path');
  return { target: config.hostname, postPath: config.usePost ? config.postPath || '/' : undefined };
}

/** Exactly one of the two is called, after `openTunnel` has returned; none after `cancel`. */
export interface TunnelClient {
  onOpen(connection: Connection): void;
  /** @param detail the transport's words, or the proxy's answer */
  onFailed(reason: ResetReason, detail: string): void;
}

/**
 * Opens a tunnel through an endpoint of the cluster. Its connect timeout limits the wait for a connection, and then that for
 * the answer of the HTTP proxy.
 * @returns gives it up
 */
export function openTunnel(
  source: StreamSource,
  to: { readonly cluster: Cluster; readonly endpoint: Endpoint },
  request: TunnelRequest,
  client: TunnelClient,
): Dialling {
  const tunnel = new HttpTunnel(to.cluster, to.endpoint, request, client);
  queueMicrotask(() => tunnel.start(source));
  return tunnel;
}

class HttpTunnel implements StreamClient, Connection {
  handler: ConnectionHandler = UNREAD;
  gone?: (() => void) | undefined;
  readonly tls = undefined;
  /** Written since the stream had no room. */
  buffered = 0;
  remoteAddress: string;
  remotePort: number;
  localAddress = '';
  localPort = 0;
  private readonly cluster: Cluster;
  private readonly endpoint: Endpoint;
  private readonly request: TunnelRequest;
  private readonly client: TunnelClient;
  private lease: Lease | undefined;
  private stream: UpstreamStream | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private open = false;
  private ended = false;
  private peerEnded = false;
  private closed = false;
  /** Counted among the requests of the cluster. */
  private counted = false;

  constructor(cluster: Cluster, endpoint: Endpoint, request: TunnelRequest, client: TunnelClient) {
    this.cluster = cluster;
    this.endpoint = endpoint;
    this.request = request;
    this.client = client;
    this.remoteAddress = endpoint.address;
    this.remotePort = endpoint.port;
  }

  start(source: StreamSource): void {
    if (this.closed) return;
    const { use, limits } = this.cluster;
    if (use.requests >= limits.maxRequests) {
      this.fail('overflow', '');
      return;
    }
    use.requests++;
    this.cluster.recent?.add();
    this.counted = true;
    // As Envoy: HTTP/2 where the cluster may speak it.
    this.lease = source.open(this.cluster, this.endpoint, this, 'HTTP/2');
  }

  cancel(): boolean {
    if (this.closed || this.open) return false;
    this.finish();
    this.lease?.cancel();
    this.stream?.reset('local_reset');
    return true;
  }

  private finish(): void {
    this.closed = true;
    clearTimeout(this.timer);
    if (this.counted) this.cluster.use.requests--;
  }

  onStream(stream: UpstreamStream): void {
    this.lease = undefined;
    this.stream = stream;
    const { addresses } = stream;
    if (addresses) {
      this.localAddress = addresses.localAddress;
      this.localPort = addresses.localPort;
    }
    const { connectTimeoutMs } = this.cluster;
    if (connectTimeoutMs > 0) this.timer = setTimeout(() => this.expire(), connectTimeoutMs);
    stream.head(headOf(this.request), false);
  }

  private expire(): void {
    this.stream?.reset('local_reset');
    this.fail('connection_timeout', 'the HTTP proxy did not answer');
  }

  onInterim(): void {}

  /** RFC 9110: any 2xx opens the tunnel. */
  onHead({ status }: ResponseHead, end: boolean): void {
    if (this.closed) return;
    if (status < 200 || status > 299) {
      this.stream?.reset('local_reset');
      this.fail('remote_connection_failure', `the HTTP proxy answered ${status}`);
      return;
    }
    clearTimeout(this.timer);
    this.open = true;
    this.client.onOpen(this);
    if (end) this.endPeer();
  }

  private endPeer(): void {
    if (this.closed) return;
    this.peerEnded = true;
    this.handler.onEnd();
    if (this.ended) this.close();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    const { handler } = this;
    if (bytes.length > 0 && !this.closed) handler.onLent ? handler.onLent(bytes) : handler.onData(bytes.slice());
    if (end) this.endPeer();
  }

  onTrailers(): void {
    this.onData(EMPTY, true);
  }

  onWritable(): void {
    this.buffered = 0;
    if (!this.closed) this.handler.onDrain();
  }

  onInternalError(): void {
    // `onReset` follows.
  }

  onReset({ reason, detail }: StreamReset): void {
    if (this.closed) return;
    if (this.open) this.close(new Error(detail || reason));
    else this.fail(reason, detail);
  }

  private fail(reason: ResetReason, detail: string): void {
    if (this.closed) return;
    this.finish();
    this.client.onFailed(reason, detail);
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed || this.ended || !this.stream) return true;
    const room = this.stream.data(bytes.slice(), false);
    if (!room) this.buffered += bytes.length;
    return room;
  }

  writeLatin1(text: string): boolean {
    return this.write(fromLatin1(text));
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    this.writeLatin1(text);
    return this.write(bytes);
  }

  end(): void {
    if (this.closed || this.ended) return;
    this.ended = true;
    this.stream?.data(EMPTY, true);
    if (this.peerEnded) this.close();
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.stream?.reset('local_reset');
    this.close(error);
  }

  pause(): void {
    if (!this.closed) this.stream?.pause();
  }

  resume(): void {
    if (!this.closed) this.stream?.resume();
  }

  private close(error?: Error): void {
    if (this.closed) return;
    this.finish();
    // As connections of a runtime do: never while one of its methods runs.
    queueMicrotask(() => {
      this.handler.onClose(error);
      this.gone?.();
    });
  }
}

function headOf({ target: authority, postPath }: TunnelRequest): RequestHead {
  const common = { authority, headers: new HeaderMap(), bodySize: undefined, wantsContinue: false } as const;
  if (postPath === undefined)
    return { ...common, method: 'CONNECT', scheme: '', path: '', bodySize: 0, upgrade: 'connect', version: 'HTTP/1.1' };
  return { ...common, method: 'POST', scheme: 'http', path: postPath, upgrade: '', version: 'HTTP/1.1' };
}
