/** One request and its response on an HTTP/2 connection to an upstream. */
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import type { Addresses, ResetReason, ResponseSink, UpstreamStream } from '../../message/stream.ts';
import { Http2Stream, type StreamLine } from './connection/stream.ts';
import { invalidMessage } from './error.ts';

/** Responses that are not the last: 100, 103. */
const MOST_INTERIM = 16;

/** The connection as its streams see it. */
export interface UpstreamLine extends StreamLine {
  readonly addresses: Addresses;
  /** Gives the stream its number. @returns false: the connection takes none any more, and the stream is lost */
  writeRequest(stream: Http2UpstreamStream, head: RequestHead, end: boolean): boolean;
}

export class Http2UpstreamStream extends Http2Stream<UpstreamLine> implements UpstreamStream {
  readonly sink: ResponseSink;
  private readonly reused: boolean;
  /** Of the request. */
  method = '';
  upgrade = '';
  private headSeen = false;
  private interims = 0;

  /** @param reused the connection carried a stream before */
  constructor(line: UpstreamLine, sink: ResponseSink, reused: boolean) {
    super(line, 0);
    this.sink = sink;
    this.reused = reused;
  }

  get addresses(): Addresses | undefined {
    return this.over ? undefined : this.line.addresses;
  }

  head(head: RequestHead, end: boolean): void {
    if (this.over || this.sent !== 'nothing') return;
    this.method = head.method;
    this.upgrade = head.upgrade;
    if (!this.line.writeRequest(this, head, end)) return;
    this.sent = 'head';
    if (end) this.endSending();
  }

  /** After whole messages there is nothing to give up. */
  override reset(reason: ResetReason): void {
    if (this.over) return;
    if (this.sendEnded && this.receiveEnded) this.line.forget(this);
    else super.reset(reason);
  }

  protected settle(): void {
    if (this.sendEnded && this.receiveEnded) this.line.forget(this);
  }

  get expectsTrailers(): boolean {
    return this.headSeen;
  }

  /**
   * @param contentLength -1: there is none
   * @throws MalformedMessage
   */
  receiveHead(head: ResponseHead, contentLength: number, end: boolean): void {
    // A 101 here is the answer to an upgrade.
    if (head.status < 200 && head.status !== 101) {
      this.receiveInterim(head);
      return;
    }
    this.headSeen = true;
    if (end) this.receiveEnded = true;
    else if (head.bodySize === 0) this.expectBody(0);
    else if (contentLength >= 0 && !this.isTunnel(head)) this.expectBody(contentLength);
    try {
      this.sink.onHead(head, end);
    } catch (error) {
      this.line.onInternalError(this, error);
    }
    if (end && !this.over) this.settle();
  }

  private isTunnel({ status }: ResponseHead): boolean {
    return this.upgrade !== '' && status < 300;
  }

  private receiveInterim(head: ResponseHead): void {
    if (++this.interims > MOST_INTERIM) throw invalidMessage('too many interim responses');
    try {
      this.sink.onInterim(head);
    } catch (error) {
      this.line.onInternalError(this, error);
    }
  }

  override receiveData(bytes: Uint8Array, counted: number, end: boolean): void {
    if (this.headSeen) super.receiveData(bytes, counted, end);
    else this.line.onWrongLength(this);
  }

  lose(reason: ResetReason, detail: string): void {
    // Behind a whole response a server may refuse the rest of the request (RFC 9113 section 8.1).
    if (this.receiveEnded && this.upgrade === '') return;
    this.sink.onReset({ reason, detail, sent: this.sent, reusedConnection: this.reused });
  }
}
