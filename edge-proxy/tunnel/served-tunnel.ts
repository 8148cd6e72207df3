/**
 * A tunnel as its workload has it: an HTTP/2 connection to a gateway, on which the gateway is the client. What it opens by
 * CONNECT is served as if it were a connection that a listener of this proxy accepted.
 */
import type { DownstreamOwner } from '../http/codec/codecs.ts';
import { Http2DownstreamConnection, type Http2DownstreamOptions } from '../http/codec/h2/downstream-connection.ts';
import type { CodecError } from '../http/message/codec-error.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../http/message/message.ts';
import type { DownstreamStream, OutStream, RequestSink, StreamReset } from '../http/message/stream.ts';
import type { Connection } from '../runtime/runtime.ts';
import { CLIENT_HEADER, HELLO_PATH, readClient, readTarget, WORKLOAD_HEADER, writeWorkloads } from './protocol.ts';
import { StreamConnection } from './stream-connection.ts';

/** Serves a connection as if its listener had accepted it. */
export type Accept = (connection: Connection) => void;

/** Finds the inbound listener at an address of the workload; undefined: there is none. */
export type InboundListeners = (at: { readonly address: string; readonly port: number }) => Accept | undefined;

export interface ServedTunnelOwner {
  /** Keys of what is reached by it, now. */
  workloads(): readonly string[];
  readonly inbound: InboundListeners;
  /** The gateway knows the workload: connections may come. */
  onReady(tunnel: ServedTunnel): void;
  /** The gateway stops, or wants no tunnel: it opens no further connection by this one. */
  onLeaving(tunnel: ServedTunnel): void;
  /** Called once. */
  onClosed(tunnel: ServedTunnel): void;
  onInternalError(error: unknown): void;
}

class TunnelCodec extends Http2DownstreamConnection {
  onLeaving: () => void = () => {};

  override onGoaway(): void {
    this.onLeaving();
    this.drain();
  }
}

export class ServedTunnel implements DownstreamOwner {
  /** Connections that came by it. */
  served = 0;
  private readonly owner: ServedTunnelOwner;
  private readonly codec: TunnelCodec;
  private readonly connection: Connection;
  private closed = false;
  private leaving = false;

  /** Takes over a dialled connection whose peer is a verified gateway. */
  constructor(connection: Connection, options: Http2DownstreamOptions, owner: ServedTunnelOwner) {
    this.owner = owner;
    this.connection = connection;
    this.codec = new TunnelCodec(connection, options, this);
    this.codec.onLeaving = () => {
      if (this.leaving) return;
      this.leaving = true;
      owner.onLeaving(this);
    };
  }

  /** The gateway is asked to open no further connection; it closes when the last has ended. */
  drain(): void {
    this.codec.drain();
  }

  destroy(): void {
    this.codec.destroy();
  }

  admitsFirstBytes(): boolean {
    return true;
  }

  onRequest(stream: DownstreamStream, head: RequestHead): RequestSink {
    if (head.upgrade === 'connect') return this.open(stream, head);
    if (head.method === 'GET' && head.path === HELLO_PATH) {
      const headers = new HeaderMap();
      headers.append(WORKLOAD_HEADER, writeWorkloads(this.owner.workloads()), WORKLOAD_HEADER);
      stream.head({ ...answer(200), headers }, true);
      this.owner.onReady(this);
    } else stream.head(answer(404), true);
    return UNREAD;
  }

  private open(stream: DownstreamStream, { authority, headers }: RequestHead): RequestSink {
    const at = readTarget(authority);
    const accept = at && this.owner.inbound(at);
    if (!accept) {
      stream.head(answer(at ? 503 : 400), true);
      return UNREAD;
    }
    this.served++;
    const { remoteAddress, remotePort } = this.connection;
    const client = readClient(headers.get(CLIENT_HEADER)) ?? { address: remoteAddress, port: remotePort };
    const ends = {
      remoteAddress: client.address,
      remotePort: client.port,
      localAddress: at.address,
      localPort: at.port,
    };
    // A gateway joins encrypted connections: in plaintext it could speak for any client.
    const connection = new StreamConnection(stream, ends, true);
    // The head goes first: the listener may answer during the call.
    stream.head(answer(200), false);
    accept(connection);
    return new StreamSink(connection);
  }

  onMalformed(_error: CodecError, stream: OutStream<ResponseHead>): void {
    stream.head(answer(400), true);
  }

  onUnanswered(): void {}
  onPartialHead(): void {}
  onPartialHeadOver(): void {}
  onIdle(): void {}
  onClosing(): void {}

  onInternalError(error: unknown): void {
    this.owner.onInternalError(error);
  }

  endsConnection(): boolean {
    return false;
  }

  onClosed(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner.onClosed(this);
  }
}

const answer = (status: number): ResponseHead => ({
  status,
  headers: new HeaderMap(),
  bodySize: undefined,
  upgrade: '',
  version: 'HTTP/2',
});

const UNREAD: RequestSink = { onData() {}, onTrailers() {}, onWritable() {}, onReset() {}, onMalformed() {} };

/** What the connection of a stream receives of it. */
class StreamSink implements RequestSink {
  private readonly connection: StreamConnection;

  constructor(connection: StreamConnection) {
    this.connection = connection;
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.connection.onData(bytes, end);
  }

  onTrailers(): void {
    this.connection.onTrailers();
  }

  onWritable(): void {
    this.connection.onWritable();
  }

  onReset(reset: StreamReset): void {
    this.connection.onReset(reset);
  }

  onMalformed({ message }: CodecError): void {
    this.connection.onReset({ reason: 'protocol_error', detail: message });
  }
}
