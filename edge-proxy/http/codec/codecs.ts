/** What a codec is to the connection's owner: chosen per connection (ALPN, preface), then no caller knows which it is. */
import type { Connection } from '../../runtime/runtime.ts';
import type { CodecError } from '../message/codec-error.ts';
import type { HttpVersion, RequestHead, ResponseHead } from '../message/message.ts';
import type { DownstreamStream, OutStream, RequestSink, ResponseSink, UpstreamStream } from '../message/stream.ts';
import type { UpstreamHttp2Stats } from './h2/upstream-stats.ts';

/** A downstream connection as its session sees it. */
export interface DownstreamCodec {
  readonly version: HttpVersion;
  /** No stream is open and no head partly read. */
  readonly idle: boolean;
  /** No new stream: the connection closes when those that are open have ended, at once where there are none. */
  drain(): void;
  /** Gives up a head that is partly read. @returns where it is answered; the connection closes behind the answer */
  rejectHead(): OutStream<ResponseHead>;
  /** Closes at once; open streams are reset with `local_reset`. */
  destroy(): void;
}

/** A downstream connection's owner. */
export interface DownstreamOwner {
  /** Bytes came before any request. @returns false: the connection is closed unread */
  admitsFirstBytes(): boolean;
  /** A request's head. The owner may answer during the call. @param end it has no body */
  onRequest(stream: DownstreamStream, head: RequestHead, end: boolean): RequestSink;
  /**
   * What came is no request.
   * @param stream where it is answered. HTTP/1.1 closes the connection behind the answer, where the next message begins being
   *   unknown; other streams of a connection continue
   */
  onMalformed(error: CodecError, stream: OutStream<ResponseHead>): void;
  /**
   * A head that cannot be read as a request was answered by the reset of its stream alone.
   * @param details for the log
   * @param breaksProtocol else it exceeds a limit of this proxy
   */
  onUnanswered(details: string, breaksProtocol: boolean): void;
  /** An exception in this proxy; the connection, or the stream of several, is closed. */
  onInternalError(error: unknown): void;
  /** A batch of bytes was handled and left a head partly read. */
  onPartialHead(): void;
  /** What was partly read is whole, and no request: the preface or trailers of HTTP/2, or the head of a stream that is refused. */
  onPartialHeadOver(): void;
  /** Whether the connection shall end with the response whose head is about to be sent. */
  endsConnection(): boolean;
  /** No stream is open any more, and the connection waits for the next. */
  onIdle(): void;
  /** Nothing more is read: the response is being sent out, or the connection has closed. */
  onClosing(): void;
  onClosed(): void;
}

/** An upstream connection as its pool sees it. */
export interface UpstreamConnection {
  /** Streams that may be open at once now, by the peer's settings and the own config; 0: it takes no more (GOAWAY). */
  readonly maxStreams: number;
  /** Open streams. */
  readonly streams: number;
  /** Opens a stream: while `streams < maxStreams`. */
  open(sink: ResponseSink): UpstreamStream;
  /** Takes no further stream and closes when the last has ended. */
  drain(): void;
  /** Closes at once; the sinks of open streams hear nothing. */
  destroy(): void;
}

/** What a connection tells the pool that keeps it. */
export interface UpstreamConnectionOwner {
  /** A stream has ended, or `maxStreams` has changed. */
  onCapacity(): void;
  /** The connection has closed; called once. Sinks of open streams are notified after this call. */
  onClosed(): void;
  /** Where HTTP/2 is counted; absent: nothing reads it. */
  readonly http2?: UpstreamHttp2Stats | undefined;
}

/** What connections to an upstream speak; `alpn`: HTTP/2 or HTTP/1.1, as each TLS handshake agrees. */
export type ProtocolName = 'http1' | 'http2' | 'alpn';

/** How a protocol is spoken to an upstream. */
export interface UpstreamProtocol {
  readonly name: ProtocolName;
  /** Streams that a connection will carry, as far as is known before it is there: as many dials are not made. */
  readonly expectedStreams: number;
  /** Takes over an open, unused connection. */
  connect(connection: Connection, owner: UpstreamConnectionOwner): UpstreamConnection;
}
