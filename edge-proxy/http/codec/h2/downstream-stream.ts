/** One request and its response on a downstream HTTP/2 connection. */
import type { ResponseHead } from '../../message/message.ts';
import type { DownstreamStream, RequestSink, ResetReason } from '../../message/stream.ts';
import { Http2Stream, type StreamLine } from './connection/stream.ts';

/** The connection as its streams see it. */
export interface DownstreamLine extends StreamLine {
  writeResponse(stream: number, head: ResponseHead, end: boolean): void;
  /** A response is whole before its request: the rest is not wanted (RFC 9113 section 8.1), unless it is already read. */
  abandonRequest(stream: Http2DownstreamStream): void;
  /** Asks, as a response begins, whether the connection is to take further requests. */
  decideDrain(): void;
}

export class Http2DownstreamStream extends Http2Stream<DownstreamLine> implements DownstreamStream {
  sink: RequestSink | undefined;
  /** Lower-case protocol that the request asks for, `connect`, or ''. */
  private readonly upgrade: string;
  /** Both directions continue as bytes: each ends by itself. */
  private tunnel = false;

  constructor(line: DownstreamLine, id: number, sendWindow: number, upgrade: string) {
    super(line, sendWindow);
    this.id = id;
    this.upgrade = upgrade;
  }

  interim(head: ResponseHead): void {
    if (this.over || this.sent !== 'nothing') return;
    head.headers.remove('content-length');
    this.line.writeResponse(this.id, head, false);
  }

  head(head: ResponseHead, end: boolean): void {
    if (this.over || this.sent !== 'nothing') return;
    this.sent = 'head';
    const { status, headers } = head;
    this.tunnel =
      this.upgrade !== '' && (status === 101 || (this.upgrade === 'connect' && status >= 200 && status < 300));
    if (this.tunnel || (!end && head.bodySize === undefined)) headers.remove('content-length');
    this.line.decideDrain();
    this.line.writeResponse(this.id, head, end);
    if (end) this.endSending();
  }

  protected settle(): void {
    if (!this.sendEnded) return;
    if (this.receiveEnded) this.line.forget(this);
    else if (!this.tunnel) this.line.abandonRequest(this);
  }

  declineUpgrade(): void {}

  abandonRequest(): void {
    this.resume();
  }

  endConnection(): void {}

  lose(reason: ResetReason, detail: string): void {
    this.sink?.onReset({ reason, detail, sent: this.sent, reusedConnection: false });
  }
}
