/**
 * A tunnel as its gateway has it: an HTTP/2 connection that a workload has dialled, on which this side is the client. Each
 * connection to the workload is a stream of it (CONNECT, RFC 9113 section 8.5).
 */
import type { UpstreamConnectionOwner } from '../http/codec/codecs.ts';
import { ERROR_CODES } from '../http/codec/h2/error.ts';
import type { Http2Options } from '../http/codec/h2/options.ts';
import { Http2UpstreamConnection } from '../http/codec/h2/upstream-connection.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../http/message/message.ts';
import type { ResponseSink, StreamReset, UpstreamStream } from '../http/message/stream.ts';
import type { Connection, ConnectionEnds } from '../runtime/runtime.ts';
import { CLIENT_HEADER, clientText, HELLO_PATH, readWorkloads, WORKLOAD_HEADER } from './protocol.ts';
import { StreamConnection } from './stream-connection.ts';

export interface TunnelClient {
  /** The workload serves the stream: set a handler during the call. */
  onOpen(connection: Connection): void;
  /** It does not, or the tunnel is gone. */
  onFailed(error: Error): void;
}

export interface GatewayTunnelOwner {
  /** The workload has named itself. @param workloads keys, see `tunnelKey` of the control plane */
  onHello(tunnel: GatewayTunnel, workloads: readonly string[]): void;
  /** Called once. */
  onClosed(tunnel: GatewayTunnel): void;
}

/** The HTTP/2 connection below; a gateway that stops says so by GOAWAY, as a server does. */
class TunnelCodec extends Http2UpstreamConnection {
  leave(): void {
    if (this.closed) return;
    this.sendGoaway(0, ERROR_CODES.NO_ERROR);
    this.writer.flush();
    this.drain();
  }
}

export class GatewayTunnel implements UpstreamConnectionOwner {
  /** SPIFFE ids of the workload's certificate, verified. */
  readonly identities: readonly string[];
  /** Where the workload's connection comes from, as the gateway sees it. */
  readonly address: string;
  /** Monotonic milliseconds. */
  readonly openedAt: number;
  /** Streams opened on it. */
  served = 0;
  workloads: readonly string[] = [];
  closed = false;
  /** Takes no further stream. */
  leaving = false;
  private readonly owner: GatewayTunnelOwner;
  private readonly codec: TunnelCodec;

  /** Takes over an accepted connection whose peer TLS has verified. */
  constructor(connection: Connection, options: Http2Options, owner: GatewayTunnelOwner, now: number) {
    this.owner = owner;
    this.identities = connection.tls?.peerUris ?? [];
    this.address = connection.remoteAddress;
    this.openedAt = now;
    this.codec = new TunnelCodec(connection, options, this);
    this.greet();
  }

  /** Streams that are open. */
  get streams(): number {
    return this.codec.streams;
  }

  get takesStreams(): boolean {
    return !this.closed && !this.leaving && this.codec.streams < this.codec.maxStreams;
  }

  /** Asks the workload who it is. */
  private greet(): void {
    const stream = this.codec.open(new Hello(this));
    stream.head(
      { ...PLAIN, method: 'GET', scheme: 'https', path: HELLO_PATH, authority: 'tunnel', ...withoutBody() },
      true,
    );
  }

  /** @param workloads undefined: the answer is none */
  onHello(workloads: readonly string[] | undefined): void {
    if (workloads === undefined) {
      this.destroy();
      return;
    }
    this.workloads = workloads;
    this.owner.onHello(this, workloads);
  }

  /**
   * Opens a connection to the workload: while `takesStreams`.
   * @param target `address:port` of the workload, as the control plane names it
   * @param client the connection that it is for; undefined: one of this proxy's own
   * @returns gives it up, until it is open
   */
  open(target: string, ends: ConnectionEnds, client: ConnectionEnds | undefined, taker: TunnelClient): () => void {
    this.served++;
    const headers = new HeaderMap();
    if (client) headers.append(CLIENT_HEADER, clientText(client), CLIENT_HEADER);
    const opening = new Opening(ends, taker);
    opening.stream = this.codec.open(opening);
    opening.stream.head(
      { ...PLAIN, method: 'CONNECT', authority: target, bodySize: 0, upgrade: 'connect', headers },
      false,
    );
    return () => opening.cancel();
  }

  /** Takes no further stream, says so to the workload, and closes when the last has ended. */
  leave(): void {
    if (this.closed || this.leaving) return;
    this.leaving = true;
    this.codec.leave();
  }

  destroy(): void {
    this.codec.destroy();
  }

  onCapacity(): void {
    // Asked for at each stream.
  }

  onClosed(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner.onClosed(this);
  }
}

const PLAIN = { scheme: '', path: '', wantsContinue: false, version: 'HTTP/2' } as const;
const withoutBody = () => ({ bodySize: 0, upgrade: '', headers: new HeaderMap() }) satisfies Partial<RequestHead>;

class Hello implements ResponseSink {
  private readonly tunnel: GatewayTunnel;

  constructor(tunnel: GatewayTunnel) {
    this.tunnel = tunnel;
  }

  onHead({ status, headers }: ResponseHead): void {
    const named = status === 200 ? readWorkloads(headers.joined(WORKLOAD_HEADER) ?? '') : undefined;
    queueMicrotask(() => this.tunnel.onHello(named));
  }

  onInterim(): void {}
  onData(): void {}
  onTrailers(): void {}
  onWritable(): void {}
  onInternalError(): void {}

  onReset(): void {
    queueMicrotask(() => this.tunnel.onHello(undefined));
  }
}

/** A stream until its answer, and then what its connection hears. */
class Opening implements ResponseSink {
  stream: UpstreamStream | undefined;
  private readonly ends: ConnectionEnds;
  private taker: TunnelClient | undefined;
  private connection: StreamConnection | undefined;

  constructor(ends: ConnectionEnds, taker: TunnelClient) {
    this.ends = ends;
    this.taker = taker;
  }

  onHead({ status }: ResponseHead, end: boolean): void {
    const { taker, stream } = this;
    this.taker = undefined;
    if (!taker || !stream) return;
    if (status < 200 || status > 299) {
      stream.reset('local_reset');
      taker.onFailed(new Error(`the workload answered ${status}`));
      return;
    }
    this.connection = new StreamConnection(stream, this.ends);
    taker.onOpen(this.connection);
    if (end) this.connection.onTrailers();
  }

  onInterim(): void {}

  onData(bytes: Uint8Array, end: boolean): void {
    this.connection?.onData(bytes, end);
  }

  onTrailers(): void {
    this.connection?.onTrailers();
  }

  onWritable(): void {
    this.connection?.onWritable();
  }

  onInternalError(): void {
    // `onReset` follows.
  }

  onReset(reset: StreamReset): void {
    const { taker } = this;
    this.taker = undefined;
    if (taker) taker.onFailed(new Error(reset.detail || reset.reason));
    else this.connection?.onReset(reset);
  }

  cancel(): void {
    if (!this.taker) return;
    this.taker = undefined;
    this.stream?.reset('local_reset');
  }
}
