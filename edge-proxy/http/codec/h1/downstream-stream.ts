/** One request and its response on an HTTP/1.1 connection. */

import type { CodecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { HttpVersion, RequestHead, ResponseHead } from '../../message/message.ts';
import type { DownstreamStream, RequestSink, ResetReason, Sent, StreamReset } from '../../message/stream.ts';
import type { MessageWriter } from './message-writer.ts';
import { framedHeadText, interimHeadText, tunnelHeadText } from './response-head-text.ts';

const EMPTY = new Uint8Array(0);

/** The connection as its stream sees it. */
export interface DownstreamLine {
  readonly writer: MessageWriter;
  /** Trailers are written; else they are dropped. */
  readonly trailers: boolean;
  /** The connection ends with the current response. */
  last: boolean;
  /** Asks once more, as the response begins, whether the connection is to end with it. */
  decideLast(): void;
  startTunnel(): void;
  /** Half-closes a tunnel. */
  endTunnel(): void;
  /** The response is whole. */
  endStream(stream: Http1DownstreamStream): void;
  pause(): void;
  resume(): void;
  /** Cuts the response off so that the client cannot take it for whole. */
  abort(): void;
}

/** What a response depends on of its request. */
export type RequestLine = Pick<RequestHead, 'version' | 'method' | 'upgrade'>;

export class Http1DownstreamStream implements DownstreamStream {
  private readonly line: DownstreamLine;
  private readonly version: HttpVersion;
  /** Of the request; '' where it was not read. */
  private readonly method: string;
  private upgrade: string;
  sink: RequestSink | undefined;
  /** The request is whole. */
  requestEnded: boolean;
  tunnel = false;
  private sent: Sent = 'nothing';
  /** Of a tunnel, which ends when both directions have. */
  private responseEnded = false;
  private over = false;

  constructor(line: DownstreamLine, request: RequestLine, requestEnded: boolean) {
    const { version, method, upgrade } = request;
    this.line = line;
    this.version = version;
    this.method = method;
    this.upgrade = upgrade;
    this.requestEnded = requestEnded;
  }

  interim(head: ResponseHead): void {
    if (this.over || this.sent !== 'nothing') return;
    head.headers.remove('content-length');
    this.line.writer.head(interimHeadText(head), false);
  }

  head(head: ResponseHead, end: boolean): void {
    const { line } = this;
    if (this.over || this.sent !== 'nothing') return;
    this.sent = 'head';
    if (head.status === 101 || (this.upgrade === 'connect' && head.status >= 200 && head.status < 300)) {
      this.beginTunnel(head);
      if (end) this.data(EMPTY, true);
      return;
    }
    // The rest of an unfinished request, or bytes for the tunnel it requested, cannot be distinguished from the next request.
    if (!this.requestEnded && (end || this.upgrade !== '')) line.last = true;
    const chunked = !end && head.bodySize === undefined && this.version !== 'HTTP/1.0';
    if (!end && head.bodySize === undefined) {
      head.headers.remove('content-length');
      if (!chunked) line.last = true;
    }
    if (end) this.sayNoContent(head);
    line.decideLast();
    const persistence = line.last ? 'close' : this.version === 'HTTP/1.0' ? 'keep-alive' : '';
    line.writer.head(framedHeadText(head, chunked, persistence), chunked);
    if (end) this.end();
  }

  /** Without a length a client waits for the end of the connection (RFC 9112 section 6.3). */
  private sayNoContent({ status, headers }: ResponseHead): void {
    if (status === 204 || status === 304 || this.method === 'HEAD' || headers.has('content-length')) return;
    headers.append('content-length', '0', 'content-length');
  }

  private beginTunnel(head: ResponseHead): void {
    const { line } = this;
    this.tunnel = true;
    line.last = true;
    head.headers.remove('content-length');
    line.writer.head(tunnelHeadText(head), false);
    line.startTunnel();
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    if (this.over) return true;
    this.sent = 'body';
    const room = this.line.writer.body(bytes);
    if (!end) return room;
    if (!this.tunnel) {
      this.line.writer.end(undefined);
      this.end();
    } else if (!this.responseEnded) {
      this.responseEnded = true;
      this.line.endTunnel();
      if (this.requestEnded) this.end();
    }
    return room;
  }

  trailers(trailers: HeaderMap): void {
    if (this.over) return;
    this.line.writer.end(this.line.trailers ? trailers : undefined);
    this.end();
  }

  private end(): void {
    this.over = true;
    this.line.endStream(this);
  }

  reset(_reason: ResetReason): void {
    if (this.over) return;
    this.over = true;
    this.line.abort();
  }

  declineUpgrade(): void {
    this.upgrade = '';
    this.requestEnded = true;
  }

  abandonRequest(): void {
    if (!this.over) this.line.last = true;
  }

  endConnection(): void {
    if (!this.over) this.line.last = true;
  }

  pause(): void {
    if (!this.over) this.line.pause();
  }

  resume(): void {
    if (!this.over) this.line.resume();
  }

  /** @param bytes valid during the call alone */
  receive(bytes: Uint8Array, end: boolean): void {
    if (end) this.requestEnded = true;
    if (this.over) return;
    this.sink?.onData(bytes, end);
    if (end && this.responseEnded && !this.over) this.end();
  }

  receiveTrailers(trailers: HeaderMap): void {
    this.requestEnded = true;
    if (!this.over) this.sink?.onTrailers(trailers);
  }

  /** The client sends no more on a tunnel. */
  receiveEnd(): void {
    if (!this.requestEnded) this.receive(EMPTY, true);
  }

  malformed(error: CodecError): void {
    if (!this.over) this.sink?.onMalformed(error);
  }

  writable(): void {
    if (!this.over) this.sink?.onWritable();
  }

  /** The connection has closed. */
  lose(reason: ResetReason): void {
    if (this.over) return;
    this.over = true;
    const reset: StreamReset = { reason, detail: '', sent: this.sent, reusedConnection: false };
    this.sink?.onReset(reset);
  }
}
