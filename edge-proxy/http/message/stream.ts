/**
 * A stream carries one request and its response over a connection of any protocol: HTTP/1.1, HTTP/2, or the raw bytes
 * behind a CONNECT. Each direction is a head, data, and possibly trailers, in this order; exactly one event of a direction
 * ends it. After an upgrade (a 101, or a 2xx to CONNECT) both directions continue as data, and `end` is a half-close.
 *
 * The connection gathers what is written and sends it by itself: once per batch of bytes read, else in a microtask.
 */
import type { CodecError } from './codec-error.ts';
import type { HeaderMap } from './header-map.ts';
import type { RequestHead, ResponseHead } from './message.ts';

/** Why a stream ended without a whole message (Envoy's StreamResetReason). */
export type ResetReason =
  /** The peer refused the stream before it processed any of it (HTTP/2: REFUSED_STREAM, or a GOAWAY below it). */
  | 'refused_stream'
  | 'protocol_error'
  | 'connection_termination'
  /** No connection came about, for a reason on this side: a TLS context without its secret, an invalid address. */
  | 'local_connection_failure'
  | 'remote_connection_failure'
  | 'connection_timeout'
  /** A circuit breaker is open. */
  | 'overflow'
  /** This proxy gave the stream up. */
  | 'local_reset'
  /** The peer gave the stream up. */
  | 'remote_reset';

/** How much of the outgoing message was handed to the connection: with `nothing` the peer cannot have processed any. */
export type Sent = 'nothing' | 'head' | 'body';

export interface StreamReset {
  readonly reason: ResetReason;
  /** The transport's or the codec's words; '' when there are none. For the log, never for a client. */
  readonly detail: string;
  readonly sent: Sent;
  /** The connection carried a stream before, and may have been closed by the peer while it was idle. */
  readonly reusedConnection: boolean;
}

/** The outgoing direction. A call after the end, or after a reset of either side, has no effect. */
export interface OutStream<Head> {
  /** @param end the message is whole: no data follows */
  head(head: Head, end: boolean): void;
  /**
   * @param bytes may be empty; what is not handed to the connection during the call must be copied: see `onLent`
   * @returns false: the connection holds enough, wait for `onWritable`
   */
  data(bytes: Uint8Array, end: boolean): boolean;
  /** Ends the direction. */
  trailers(trailers: HeaderMap): void;
  /** Ends both directions at once. The sink hears nothing more. */
  reset(reason: ResetReason): void;
}

/** The incoming direction behind its head. After an `end` or `onReset` nothing more comes. */
export interface BodySink {
  /** @param bytes valid during the call alone, may be empty */
  onData(bytes: Uint8Array, end: boolean): void;
  /** Ends the direction. */
  onTrailers(trailers: HeaderMap): void;
  /** The connection takes more, after `data` answered false. */
  onWritable(): void;
  onReset(reset: StreamReset): void;
}

export interface InSink<Head> extends BodySink {
  onHead(head: Head, end: boolean): void;
}

/**
 * Stops and continues the incoming direction of one stream. A codec may deliver what it has already read, and HTTP/2 what the
 * peer may send before it gets the next WINDOW_UPDATE.
 */
export interface ReadControl {
  pause(): void;
  resume(): void;
}

/** The response side of a request that came in. */
export interface DownstreamStream extends OutStream<ResponseHead>, ReadControl {
  /** A response that is not the last: 100, 102 to 199. */
  interim(head: ResponseHead): void;
  /** The upgrade that the request offered is not taken: it is an ordinary request, whole with its head. */
  declineUpgrade(): void;
  /**
   * Nothing of the request is wanted any more, whatever of it is still to come: the response ends the stream. HTTP/1.1 ends
   * the connection with it, as the rest of the request cannot be skipped.
   */
  abandonRequest(): void;
  /** An HTTP/1.1 connection takes no request after this one. Without effect where each request has a stream of its own. */
  endConnection(): void;
}

/** What hears the rest of a request that came in. */
export interface RequestSink extends BodySink {
  /** The body cannot be read. The stream can still answer where the response has not begun. */
  onMalformed(error: CodecError): void;
}

/** The request side of a stream to an upstream. */
export interface UpstreamStream extends OutStream<RequestHead>, ReadControl {
  /** Of the connection; undefined once it is gone. */
  readonly addresses: Addresses | undefined;
}

export interface ResponseSink extends InSink<ResponseHead> {
  /** A response that is not the last: 100, 102 to 199. */
  onInterim(head: ResponseHead): void;
  /** An exception in this proxy while a response was handled; `onReset` follows. */
  onInternalError(error: unknown): void;
}

/** Both ends of a connection. */
export interface Addresses {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** What TLS has established; absent in plaintext. `peerUris`: the URI names of the peer's verified certificate. */
  readonly tls?: { readonly peerUris: readonly string[] } | undefined;
}
