/** One request and its response on an HTTP/2 connection to an upstream. */
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import type { Addresses, ResetReason, ResponseSink, UpstreamStream } from '../../message/stream.ts';
import { Http2Stream, messagingError, type StreamLine } from './connection/stream.ts';

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
  private method = '';
  private upgrade = '';
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

  receiveHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200) {
      this.receiveInterim(head, end);
      return;
    }
    this.headSeen = true;
    const opened = this.upgrade !== '' && head.status < 300;
    this.expectBody(opened || this.method === 'HEAD' || head.status === 304 ? undefined : head.bodySize);
    if (!this.takesBody(0, end)) return;
    if (end) this.receiveEnded = true;
    // As the core knows it from HTTP/1.1 (RFC 8441 section 5).
    const switched = opened && this.upgrade !== 'connect';
    this.notify(switched ? { ...head, status: 101, upgrade: this.upgrade } : head, end);
    if (end && !this.over) this.settle();
  }

  private notify(head: ResponseHead, end: boolean): void {
    try {
      this.sink.onHead(head, end);
    } catch (error) {
      this.line.onInternalError(this, error);
    }
  }

  private receiveInterim(head: ResponseHead, end: boolean): void {
    if (end || ++this.interims > MOST_INTERIM) {
      this.line.onMalformed(this, messagingError('an interim response ends the stream, or is one of too many'));
      return;
    }
    try {
      this.sink.onInterim(head);
    } catch (error) {
      this.line.onInternalError(this, error);
    }
  }

  override receiveData(bytes: Uint8Array, counted: number, end: boolean): void {
    if (this.headSeen) super.receiveData(bytes, counted, end);
    else this.line.onMalformed(this, messagingError('data before a head'));
  }

  lose(reason: ResetReason, detail: string): void {
    this.sink.onReset({ reason, detail, sent: this.sent, reusedConnection: this.reused });
  }
}
