/** One HTTP/1.1 connection to an endpoint: carries one request at a time, then goes back to its pool. */

import { CodecError } from '../http/codec/error.ts';
import type { ResponseHead } from '../http/codec/h1/head.ts';
import { defaultLimits } from '../http/codec/h1/head.ts';
import { MessageWriter } from '../http/codec/h1/message-writer.ts';
import type { MessageSink } from '../http/codec/h1/parser.ts';
import { ResponseParser } from '../http/codec/h1/parser.ts';
import type { HeaderMap } from '../http/message/header-map.ts';
import type { Addresses } from '../http/message/stream.ts';
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';

/** Why a request ended without a whole response; Envoy's words. */
export type ResetReason =
  | 'remote_connection_failure'
  | 'connection_timeout'
  | 'connection_termination'
  | 'protocol_error'
  | 'overflow';

/** What a request hears of its way upstream. After `onReset` or `onResponseEnd` nothing more comes. */
export interface StreamOwner {
  /** A connection is there: send. Called once, never before `acquire` returned its lease unless one was idle. */
  onReady(stream: UpstreamStream): void;
  onResponseHead(head: ResponseHead): void;
  /** A response that is not the last: 100, 102 to 199. */
  onInterim(head: ResponseHead): void;
  /** Valid only during the call. */
  onResponseBody(bytes: Uint8Array): void;
  onResponseEnd(trailers: HeaderMap | undefined): void;
  /** A batch of bytes was handled: pass on what was gathered. */
  onResponseFlush(): void;
  /** The connection takes more after `sendBody` answered false. */
  onRequestDrain(): void;
  /** @param detail the transport's words, '' when it said nothing */
  onReset(reason: ResetReason, detail: string): void;
  /** A fault of our own while a response was handled; a reset follows. */
  onFault?(error: unknown): void;
}

/** The sending side of one request. HTTP/2 will implement it too. */
export interface UpstreamStream {
  /** The connection served a request before: it may have died unnoticed. */
  readonly reused: boolean;
  /** Of the connection; undefined where it is gone. */
  readonly addresses: Addresses | undefined;
  /** @param head a whole head, with its empty line */
  sendHead(method: string, head: string, chunked: boolean): void;
  /** @returns false: wait for `onRequestDrain` */
  sendBody(bytes: Uint8Array): boolean;
  sendEnd(trailers: HeaderMap | undefined): void;
  /** Writes out what was gathered; call it when a batch is done. */
  flush(): void;
  /** Half-closes a tunnel. */
  endTunnel(): void;
  pause(): void;
  resume(): void;
  /** The owner is done: a connection whose request or response is not whole is closed. Nothing is heard again. */
  release(owner: StreamOwner): void;
}

/** What a connection tells its pool. */
export interface PoolSide {
  /** Ready for the next request. */
  onIdle(connection: UpstreamConnection): void;
  onGone(connection: UpstreamConnection): void;
}

export class UpstreamConnection implements UpstreamStream, ConnectionHandler, MessageSink<ResponseHead> {
  private readonly pool: PoolSide;
  private connection: Connection | undefined;
  private writer: MessageWriter | undefined;
  private readonly parser: ResponseParser = new ResponseParser(this, defaultLimits);
  private owner: StreamOwner | undefined;
  private requestSent = false;
  private responseEnded = false;
  private trailers: HeaderMap | undefined;
  private keepAlive = true;
  private tunnel = false;
  private closed = false;
  /** Requests begun on it. */
  served = 0;
  /** Monotonic milliseconds at which it was there. */
  openedAt = 0;
  /** Monotonic milliseconds at which it became idle. */
  idleSince = 0;

  constructor(pool: PoolSide) {
    this.pool = pool;
  }

  get reused(): boolean {
    return this.served > 1;
  }

  get addresses(): Addresses | undefined {
    return this.connection;
  }

  opened(connection: Connection): void {
    this.connection = connection;
    this.writer = new MessageWriter(connection);
  }

  /** Gives the connection to a request. */
  lend(owner: StreamOwner): void {
    this.owner = owner;
    this.served++;
    this.requestSent = false;
    this.responseEnded = false;
    this.trailers = undefined;
    owner.onReady(this);
  }

  sendHead(method: string, head: string, chunked: boolean): void {
    this.parser.expect(method);
    this.writer!.head(head, chunked);
  }

  sendBody(bytes: Uint8Array): boolean {
    return this.writer!.body(bytes);
  }

  sendEnd(trailers: HeaderMap | undefined): void {
    this.writer!.end(trailers);
    this.requestSent = true;
    this.settle();
  }

  flush(): void {
    this.writer!.flush();
  }

  endTunnel(): void {
    this.writer!.flush();
    this.connection!.end();
  }

  pause(): void {
    this.connection?.pause();
  }

  resume(): void {
    this.connection?.resume();
  }

  release(owner: StreamOwner): void {
    // By now another request may have it.
    if (this.owner !== owner) return;
    this.owner = undefined;
    this.destroy();
  }

  /** Closes now; a request on it hears nothing. */
  destroy(): void {
    if (this.closed) return;
    this.closed = true;
    this.connection?.destroy();
    this.pool.onGone(this);
  }

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    // An idle connection that speaks answers no request of ours: it must not answer the next one.
    if (this.owner === undefined || this.responseEnded) {
      this.destroy();
      return;
    }
    try {
      const at = this.parser.execute(bytes, 0);
      if (at < bytes.length) this.keepAlive = false;
    } catch (error) {
      const malformed = error instanceof CodecError;
      if (!malformed) this.owner?.onFault?.(error);
      this.fail('protocol_error', malformed ? error.message : '');
      return;
    }
    if (this.responseEnded) this.deliverEnd();
    else (this.owner as StreamOwner | undefined)?.onResponseFlush();
  }

  /** Owners copy what they keep. */
  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onHead(head: ResponseHead): void {
    if (!head.keepAlive) this.keepAlive = false;
    this.tunnel = head.status === 101 || (head.framing === 'none' && this.parser.isTunnel);
    this.owner?.onResponseHead(head);
  }

  onInterim(head: ResponseHead): void {
    this.owner?.onInterim(head);
  }

  onBody(bytes: Uint8Array): void {
    this.owner?.onResponseBody(bytes);
  }

  onMessageEnd(trailers: HeaderMap | undefined): void {
    this.trailers = trailers;
    this.responseEnded = true;
  }

  onDrain(): void {
    this.owner?.onRequestDrain();
  }

  onEnd(): void {
    if (this.closed) return;
    this.keepAlive = false;
    if (this.owner === undefined) {
      this.destroy();
      return;
    }
    if (this.tunnel) {
      this.owner.onResponseEnd(undefined);
      return;
    }
    this.parser.finish();
    if (this.responseEnded) this.deliverEnd();
    // An end amid a message is a fault of what was sent; before one, of the connection.
    else this.fail(this.parser.idle ? 'connection_termination' : 'protocol_error', '');
  }

  onClose(error?: Error): void {
    if (this.closed) return;
    if (error === undefined && this.owner !== undefined && !this.tunnel) {
      this.parser.finish();
      this.keepAlive = false;
      if (this.responseEnded) {
        this.deliverEnd();
        this.destroy();
        return;
      }
    }
    this.fail('connection_termination', error?.message ?? '');
  }

  private fail(reason: ResetReason, detail: string): void {
    const owner = this.owner;
    this.owner = undefined;
    this.destroy();
    owner?.onReset(reason, detail);
  }

  /** After the parser has returned, so that a next request never meets bytes of this response. */
  private deliverEnd(): void {
    const owner = this.owner;
    if (!this.responseEnded || owner === undefined) return;
    const { trailers } = this;
    // Free before its owner goes on: a pipelined request finds it idle.
    this.settle();
    owner.onResponseEnd(trailers);
  }

  /** Whole request sent and whole response received: free for the next, or done. */
  private settle(): void {
    if (!this.requestSent || !this.responseEnded || this.closed || this.tunnel) return;
    this.writer!.flush();
    this.owner = undefined;
    if (!this.keepAlive) {
      this.destroy();
      return;
    }
    this.connection!.resume();
    this.pool.onIdle(this);
  }
}
