/** A downstream HTTP/1.1 connection: one request after the other, pipelined ones wait. */
import type { Connection, ConnectionHandler } from '../../../runtime/runtime.ts';
import { CodecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { ResetReason } from '../../message/stream.ts';
import { concat } from '../bytes.ts';
import type { DownstreamCodec, DownstreamOwner } from '../codecs.ts';
import { beginBatch, endBatch } from '../cork.ts';
import { type DownstreamLine, Http1DownstreamStream, type RequestLine } from './downstream-stream.ts';
import type { CodecLimits, Http1RequestHead } from './head.ts';
import { MessageWriter } from './message-writer.ts';
import { type MessageSink, RequestParser } from './parser.ts';

/** Pipelined bytes that may wait while a request is answered; the runtime may deliver some after a pause. */
const MAX_PIPELINED = 1024 * 1024;

const EMPTY = new Uint8Array(0);

export interface Http1DownstreamOptions {
  readonly limits: CodecLimits;
  /** Trailers are passed on, in both directions; else they are read and dropped (Envoy's enable_trailers). */
  readonly trailers: boolean;
  /** How long the client may take to close after the last response, in milliseconds. */
  readonly delayedCloseMs: number;
}

/** Of a request whose head is not whole. */
const UNREAD: RequestLine = { version: 'HTTP/1.1', method: '', upgrade: '' };

export class Http1DownstreamConnection
  implements DownstreamCodec, DownstreamLine, ConnectionHandler, MessageSink<Http1RequestHead>
{
  readonly version = 'HTTP/1.1';
  readonly writer: MessageWriter;
  readonly trailers: boolean;
  last = false;
  private readonly connection: Connection;
  private readonly owner: DownstreamOwner;
  private readonly delayedCloseMs: number;
  private readonly parser: RequestParser;
  private stream: Http1DownstreamStream | undefined;
  /** Bytes behind the request that is being answered. */
  private pipelined: Uint8Array | undefined;
  private consuming = false;
  private served = false;
  /** Nothing more is read as HTTP; the connection is being closed. */
  private closing = false;
  private closed = false;
  private peerEnded = false;
  private lingering: ReturnType<typeof setTimeout> | undefined;

  /** Takes over a connection on which no request was read yet. */
  constructor(connection: Connection, options: Http1DownstreamOptions, owner: DownstreamOwner) {
    this.connection = connection;
    this.owner = owner;
    this.delayedCloseMs = options.delayedCloseMs;
    this.trailers = options.trailers;
    this.parser = new RequestParser(this, options.limits);
    this.writer = new MessageWriter(connection);
    connection.handler = this;
  }

  get idle(): boolean {
    return this.stream === undefined && this.betweenMessages;
  }

  private get betweenMessages(): boolean {
    return this.parser.idle || this.parser.complete;
  }

  drain(): void {
    this.last = true;
    if (this.idle) this.close();
  }

  rejectHead(): Http1DownstreamStream {
    this.last = true;
    this.stream = new Http1DownstreamStream(this, UNREAD, false);
    return this.stream;
  }

  destroy(): void {
    this.lose('local_reset');
  }

  onData(bytes: Uint8Array): void {
    if (this.closed || this.closing) return;
    if (!this.served && this.parser.idle && !this.owner.admitsFirstBytes()) {
      this.shut();
      return;
    }
    const { pipelined } = this;
    if (pipelined === undefined) this.consume(bytes);
    else if (pipelined.length + bytes.length > MAX_PIPELINED) this.lose('connection_termination');
    else this.pipelined = concat(pipelined, bytes);
  }

  /** What is kept of heads and bodies is copied. */
  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  private consume(bytes: Uint8Array): void {
    this.consuming = true;
    this.writer.gathersBodies = true;
    beginBatch();
    try {
      this.parse(bytes);
    } catch (error) {
      this.consuming = false;
      if (!(error instanceof CodecError)) {
        this.owner.onInternalError(error);
        throw error;
      }
      this.refuse(error);
    } finally {
      this.consuming = false;
      this.writer.gathersBodies = false;
      endBatch();
    }
    if (this.stream === undefined && !this.closing && !this.betweenMessages) this.owner.onPartialHead();
  }

  private parse(bytes: Uint8Array): void {
    const { parser } = this;
    let at = 0;
    while (at < bytes.length && !this.closing && !this.closed) {
      if (parser.complete) {
        if (this.stream) {
          this.pipelined = new Uint8Array(bytes.subarray(at));
          this.connection.pause();
          return;
        }
        parser.next();
      }
      at = parser.execute(bytes, at);
    }
  }

  /** The client sent what is not HTTP. */
  private refuse(error: CodecError): void {
    if (this.stream) this.stream.malformed(error);
    else this.owner.onMalformed(error, this.rejectHead());
  }

  onHead(head: Http1RequestHead, end: boolean): void {
    this.served = true;
    if (!head.keepAlive) this.last = true;
    const whole = end && head.upgrade === '';
    const stream = new Http1DownstreamStream(this, head, whole);
    this.stream = stream;
    stream.sink = this.owner.onRequest(stream, head, whole);
  }

  onBody(bytes: Uint8Array, end: boolean): void {
    this.stream?.receive(bytes, end);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.trailers) this.stream?.receiveTrailers(trailers);
    else this.stream?.receive(EMPTY, true);
  }

  onDrain(): void {
    this.stream?.writable();
  }

  onEnd(): void {
    if (this.closed) return;
    this.peerEnded = true;
    const { stream } = this;
    if (stream?.tunnel) {
      stream.receiveEnd();
      return;
    }
    this.last = true;
    if (this.closing) this.shut();
    else if (stream === undefined) this.betweenMessages ? this.close() : this.shut();
    // As in Envoy, a client that ends its side has left, be its request whole.
    else this.lose('connection_termination');
  }

  onClose(): void {
    this.lose('connection_termination');
  }

  private lose(reason: ResetReason): void {
    if (this.closed) return;
    const { stream } = this;
    this.stream = undefined;
    this.writer.flush();
    stream?.lose(reason);
    this.shut();
  }

  decideLast(): void {
    if (!this.last && this.owner.endsConnection()) this.last = true;
  }

  startTunnel(): void {
    this.parser.becomeTunnel();
    this.releasePipelined();
  }

  endTunnel(): void {
    this.writer.flush();
    this.connection.end();
  }

  endStream(stream: Http1DownstreamStream): void {
    if (this.stream !== stream) return;
    this.stream = undefined;
    if (this.closed) return;
    if (this.last || !stream.requestEnded) {
      this.close();
      return;
    }
    this.owner.onIdle();
    if (this.consuming) return;
    this.connection.resume();
    this.releasePipelined();
  }

  private releasePipelined(): void {
    const { pipelined } = this;
    if (pipelined === undefined || this.consuming) return;
    this.pipelined = undefined;
    this.connection.resume();
    this.consume(pipelined);
  }

  pause(): void {
    this.connection.pause();
  }

  resume(): void {
    if (this.pipelined === undefined) this.connection.resume();
  }

  abort(): void {
    this.stream = undefined;
    this.writer.flush();
    this.shut();
  }

  /** Sends what is left, then FIN; a peer that does not close in turn is cut off. */
  private close(): void {
    if (this.closed || this.closing) return;
    this.closing = true;
    this.pipelined = undefined;
    this.writer.flush();
    this.connection.resume();
    this.connection.end();
    if (this.peerEnded && this.connection.buffered === 0) return;
    this.owner.onClosing();
    this.lingering = setTimeout(() => this.shut(), this.delayedCloseMs);
  }

  private shut(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.lingering);
    this.connection.destroy();
    this.owner.onClosed();
  }
}
