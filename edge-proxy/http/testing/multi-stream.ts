/** One request and its response on a connection of the toy protocol, with a window of its own in each direction. */
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { DownstreamStream, RequestSink, ResetReason, Sent } from '../message/stream.ts';
import { DATA, fieldsOf, HEAD, INTERIM, json, RESET, TRAILERS, WINDOW, WindowQueue } from './frames.ts';

/** The connection as its streams see it. */
export interface StreamLine {
  readonly blocked: boolean;
  send(type: number, end: boolean, id: number, payload: Uint8Array): void;
  /** The client may send so many more bytes. */
  grant(id: number, bytes: number): void;
  /** A response begins: the connection may be about to end. */
  endsSoon(): void;
  streamEnded(stream: MultiStream): void;
}

export class MultiStream implements DownstreamStream {
  readonly id: number;
  sink: RequestSink | undefined;
  private readonly line: StreamLine;
  private requestEnded: boolean;
  private sent: Sent = 'nothing';
  private readonly queue = new WindowQueue();
  private window = WINDOW;
  /** How the response ends behind what is queued. */
  private ending: 'end' | HeaderMap | undefined;
  /** `data` answered false. */
  private owesWritable = false;
  private paused = false;
  /** Bytes that were delivered while the stream was paused: the client gets its credit back with `resume`. */
  private withheld = 0;
  private over = false;

  constructor(line: StreamLine, id: number, requestEnded: boolean) {
    this.line = line;
    this.id = id;
    this.requestEnded = requestEnded;
  }

  interim(head: ResponseHead): void {
    if (!this.over && this.sent === 'nothing') this.line.send(INTERIM, false, this.id, headPayload(head));
  }

  head(head: ResponseHead, end: boolean): void {
    if (this.over || this.sent !== 'nothing') return;
    this.sent = 'head';
    this.line.endsSoon();
    this.line.send(HEAD, end, this.id, headPayload(head));
    if (end) this.finish();
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    if (this.over || this.ending) return true;
    this.sent = 'body';
    this.queue.add(bytes);
    if (end) this.ending = 'end';
    this.flush();
    this.owesWritable = !this.over && (this.queue.size > 0 || this.window === 0 || this.line.blocked);
    return !this.owesWritable;
  }

  trailers(trailers: HeaderMap): void {
    if (this.over || this.ending) return;
    this.ending = trailers;
    this.flush();
  }

  /** Sends what the windows of the stream and the connection allow. */
  flush(): void {
    if (this.over || this.line.blocked) return;
    if (this.queue.size > 0 && this.window > 0) {
      const bytes = this.queue.take(this.window);
      this.window -= bytes.length;
      this.line.send(DATA, false, this.id, bytes);
    }
    if (this.queue.size > 0) return;
    if (this.ending !== undefined) this.sendEnd(this.ending);
    else if (this.owesWritable && this.window > 0) {
      this.owesWritable = false;
      this.sink?.onWritable();
    }
  }

  private sendEnd(ending: 'end' | HeaderMap): void {
    if (ending === 'end') this.line.send(DATA, true, this.id, new Uint8Array(0));
    else this.line.send(TRAILERS, true, this.id, json(fieldsOf(ending)));
    this.finish();
  }

  private finish(): void {
    this.over = true;
    if (!this.requestEnded) this.line.send(RESET, true, this.id, json('no_error'));
    this.line.streamEnded(this);
  }

  reset(reason: ResetReason): void {
    if (this.over) return;
    this.over = true;
    this.line.send(RESET, true, this.id, json(reason));
    this.line.streamEnded(this);
  }

  declineUpgrade(): void {}

  abandonRequest(): void {}

  endConnection(): void {}

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const { withheld } = this;
    this.withheld = 0;
    if (withheld > 0 && !this.over) this.line.grant(this.id, withheld);
  }

  receive(bytes: Uint8Array, end: boolean): void {
    if (end) this.requestEnded = true;
    this.withheld += bytes.length;
    if (!this.over) this.sink?.onData(bytes, end);
    if (!this.paused && !end) this.resume();
  }

  receiveTrailers(trailers: HeaderMap): void {
    this.requestEnded = true;
    if (!this.over) this.sink?.onTrailers(trailers);
  }

  grow(bytes: number): void {
    this.window += bytes;
    this.flush();
  }

  /** The client gave the stream up, or the connection is gone. */
  lose(reason: ResetReason, detail: string): void {
    if (this.over) return;
    this.over = true;
    this.line.streamEnded(this);
    this.sink?.onReset({ reason, detail, sent: this.sent, reusedConnection: false });
  }
}

function headPayload({ status, headers }: ResponseHead): Uint8Array {
  return json({ status, headers: fieldsOf(headers) });
}
