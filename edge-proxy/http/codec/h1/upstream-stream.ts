/** One request and its response on an HTTP/1.1 connection to an upstream. */
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead } from '../../message/message.ts';
import type { Addresses, ResetReason, ResponseSink, Sent, UpstreamStream } from '../../message/stream.ts';

/** The connection as its stream sees it. */
export interface Http1UpstreamLine {
  readonly addresses: Addresses;
  sendHead(head: RequestHead): void;
  /** @returns false: wait for room */
  sendData(bytes: Uint8Array): boolean;
  /** The request is whole. */
  sendEnd(trailers: HeaderMap | undefined): void;
  abort(): void;
  pause(): void;
  resume(): void;
}

export class Http1UpstreamStream implements UpstreamStream {
  readonly sink: ResponseSink;
  sent: Sent = 'nothing';
  /** The request is whole. */
  requestEnded = false;
  /** undefined: the stream is over, and another may have the connection. */
  private line: Http1UpstreamLine | undefined;

  constructor(line: Http1UpstreamLine, sink: ResponseSink) {
    this.line = line;
    this.sink = sink;
  }

  get addresses(): Addresses | undefined {
    return this.line?.addresses;
  }

  head(head: RequestHead, end: boolean): void {
    const { line } = this;
    if (line === undefined || this.sent !== 'nothing') return;
    this.sent = 'head';
    line.sendHead(head);
    if (end) this.end(undefined);
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    const { line } = this;
    if (line === undefined || this.requestEnded) return true;
    if (bytes.length > 0) this.sent = 'body';
    const room = line.sendData(bytes);
    if (end) this.end(undefined);
    return room;
  }

  trailers(trailers: HeaderMap): void {
    if (!this.requestEnded) this.end(trailers);
  }

  private end(trailers: HeaderMap | undefined): void {
    this.requestEnded = true;
    this.line?.sendEnd(trailers);
  }

  reset(_reason: ResetReason): void {
    this.line?.abort();
  }

  pause(): void {
    this.line?.pause();
  }

  resume(): void {
    this.line?.resume();
  }

  /** The connection is free for another stream, or gone. */
  detach(): void {
    this.line = undefined;
  }
}
