/** An HTTP/1.1 connection to an upstream: one stream at a time. */
import type { Connection, ConnectionHandler } from '../../../runtime/runtime.ts';
import { CodecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead } from '../../message/message.ts';
import type { Addresses, ResetReason, ResponseSink, UpstreamStream } from '../../message/stream.ts';
import type { UpstreamConnection, UpstreamConnectionOwner, UpstreamProtocol } from '../codecs.ts';
import { beginBatch, endBatch } from '../cork.ts';
import { defaultLimits, type Http1ResponseHead } from './head.ts';
import { MessageWriter } from './message-writer.ts';
import { type MessageSink, ResponseParser } from './parser.ts';
import { requestHeadText } from './request-head-text.ts';
import { type Http1UpstreamLine, Http1UpstreamStream } from './upstream-stream.ts';

const EMPTY = new Uint8Array(0);

export class Http1UpstreamConnection
  implements UpstreamConnection, Http1UpstreamLine, ConnectionHandler, MessageSink<Http1ResponseHead>
{
  private readonly connection: Connection;
  private readonly owner: UpstreamConnectionOwner;
  private readonly writer: MessageWriter;
  private readonly parser: ResponseParser = new ResponseParser(this, defaultLimits);
  private stream: Http1UpstreamStream | undefined;
  /** Another stream may follow. */
  private persistent = true;
  private reused = false;
  private tunnel = false;
  private closed = false;
  private responseEnded = false;
  /** The last event of a response, which waits until the parser has returned. */
  private lastHead: Http1ResponseHead | undefined;
  private lastData: Uint8Array = EMPTY;
  private lastTrailers: HeaderMap | undefined;

  /** Takes over an open, unused connection. */
  constructor(connection: Connection, owner: UpstreamConnectionOwner) {
    this.connection = connection;
    this.owner = owner;
    this.writer = new MessageWriter(connection);
    connection.handler = this;
  }

  get maxStreams(): number {
    return this.closed || !this.persistent ? 0 : 1;
  }

  get streams(): number {
    return this.stream === undefined ? 0 : 1;
  }

  get addresses(): Addresses {
    return this.connection;
  }

  open(sink: ResponseSink): UpstreamStream {
    this.responseEnded = false;
    this.stream = new Http1UpstreamStream(this, sink);
    return this.stream;
  }

  drain(): void {
    this.persistent = false;
    if (this.stream === undefined) this.destroy();
  }

  destroy(): void {
    if (this.closed) return;
    this.closed = true;
    this.stream?.detach();
    this.stream = undefined;
    this.connection.destroy();
    this.owner.onClosed();
  }

  sendHead(head: RequestHead): void {
    this.parser.expect(head.method);
    this.writer.head(requestHeadText(head), head.bodySize === undefined);
  }

  sendData(bytes: Uint8Array): boolean {
    return this.writer.body(bytes);
  }

  sendEnd(trailers: HeaderMap | undefined): void {
    if (this.tunnel) {
      this.writer.flush();
      this.connection.end();
      return;
    }
    this.writer.end(trailers);
    this.settle();
  }

  /** The stream is given up: what is left of its messages cannot be skipped. */
  abort(): void {
    this.destroy();
  }

  pause(): void {
    this.connection.pause();
  }

  resume(): void {
    this.connection.resume();
  }

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    const { stream } = this;
    // Bytes on an idle connection answer no request of ours: they must not answer the next one.
    if (stream === undefined || this.responseEnded) {
      this.destroy();
      return;
    }
    beginBatch();
    try {
      if (this.parser.execute(bytes, 0) < bytes.length) this.persistent = false;
      if (this.responseEnded) this.deliverEnd(stream);
    } catch (error) {
      this.failFor(error, stream);
    } finally {
      endBatch();
    }
  }

  /** Sinks copy what they keep. */
  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onHead(head: Http1ResponseHead, end: boolean): void {
    if (!head.keepAlive) this.persistent = false;
    this.tunnel = this.parser.isTunnel;
    if (end) {
      this.responseEnded = true;
      this.lastHead = head;
    } else this.stream?.sink.onHead(head, false);
  }

  onInterim(head: Http1ResponseHead): void {
    this.stream?.sink.onInterim(head);
  }

  onBody(bytes: Uint8Array, end: boolean): void {
    if (end) {
      this.responseEnded = true;
      this.lastData = bytes;
    } else this.stream?.sink.onData(bytes, false);
  }

  onTrailers(trailers: HeaderMap): void {
    this.responseEnded = true;
    this.lastTrailers = trailers;
  }

  onDrain(): void {
    this.stream?.sink.onWritable();
  }

  onEnd(): void {
    if (this.closed) return;
    this.persistent = false;
    const { stream } = this;
    if (stream === undefined) {
      this.destroy();
      return;
    }
    if (this.tunnel) {
      stream.sink.onData(EMPTY, true);
      return;
    }
    this.parser.finish();
    if (this.responseEnded) this.deliverEnd(stream);
    // EOF inside a message is a protocol error; before one the connection was terminated.
    else this.fail(this.parser.idle ? 'connection_termination' : 'protocol_error', '');
  }

  onClose(error?: Error): void {
    if (this.closed) return;
    const { stream } = this;
    if (error === undefined && stream !== undefined && !this.tunnel) {
      this.persistent = false;
      this.parser.finish();
      if (this.responseEnded) {
        this.deliverEnd(stream);
        this.destroy();
        return;
      }
    }
    this.fail('connection_termination', error?.message ?? '');
  }

  /** What was thrown while a response was read or handled. */
  private failFor(error: unknown, stream: Http1UpstreamStream): void {
    if (error instanceof CodecError) {
      this.fail('protocol_error', error.message);
      return;
    }
    stream.sink.onInternalError(error);
    if (this.stream === stream) this.fail('protocol_error', '');
    // By now the connection is free, or carries another stream.
    else stream.sink.onReset({ reason: 'protocol_error', detail: '', sent: stream.sent, reusedConnection: false });
  }

  private fail(reason: ResetReason, detail: string): void {
    const { stream, reused } = this;
    this.destroy();
    stream?.sink.onReset({ reason, detail, sent: stream.sent, reusedConnection: reused });
  }

  /** After the parser has returned, so that the next stream never meets bytes of this response. */
  private deliverEnd({ sink }: Http1UpstreamStream): void {
    const { lastHead, lastData, lastTrailers } = this;
    this.lastHead = undefined;
    this.lastData = EMPTY;
    this.lastTrailers = undefined;
    // Free before the sink is notified: a pipelined request finds the connection idle.
    this.settle();
    if (lastHead) sink.onHead(lastHead, true);
    else if (lastTrailers) sink.onTrailers(lastTrailers);
    else sink.onData(lastData, true);
  }

  /** Whole request sent and whole response received: free for the next stream, or done. */
  private settle(): void {
    const { stream } = this;
    if (!this.responseEnded || stream === undefined || !stream.requestEnded || this.tunnel) return;
    stream.detach();
    this.stream = undefined;
    this.reused = true;
    if (!this.persistent) {
      this.writer.flush();
      this.destroy();
      return;
    }
    this.connection.resume();
    this.owner.onCapacity();
  }
}

export const http1: UpstreamProtocol = {
  name: 'http1',
  expectedStreams: 1,
  connect: (connection, owner) => new Http1UpstreamConnection(connection, owner),
};
