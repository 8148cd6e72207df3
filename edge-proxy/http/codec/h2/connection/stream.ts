/** What the streams of both sides have in common: flow control both ways, and how a stream ends (RFC 9113 section 5.1). */
import type { HeaderMap } from '../../../message/header-map.ts';
import type { BodySink, ReadControl, ResetReason, Sent } from '../../../message/stream.ts';
import { invalidMessage } from '../error.ts';
import type { FrameWriter } from './frame-writer.ts';
import { type ConnectionReceiveWindow, StreamReceiveWindow } from './receive-windows.ts';
import { resetCode } from './reset-reasons.ts';
import type { SendQueue } from './send-queue.ts';
import type { Sender, SendScheduler } from './send-scheduler.ts';

/** The connection as its streams see it. */
export interface StreamLine {
  readonly writer: FrameWriter;
  readonly scheduler: SendScheduler;
  readonly receiveWindow: ConnectionReceiveWindow;
  /** How long data of a stream that is otherwise done may wait for the peer's window, in milliseconds; 0: without limit. */
  readonly flushMs: number;
  writeTrailers(stream: number, trailers: HeaderMap): void;
  /** Resets a stream of which both sides know. */
  resetStream(stream: Http2Stream, code: number): void;
  /** The stream is over, without RST_STREAM. */
  forget(stream: Http2Stream): void;
  /** The data of the peer is not as long as its content-length; the stream is still open. */
  onWrongLength(stream: Http2Stream): void;
  /** An exception in this proxy while an event of the stream was handled. */
  onInternalError(stream: Http2Stream, error: unknown): void;
  /** What waited for a window did so for too long. */
  onFlushTimeout(stream: Http2Stream): void;
}

export abstract class Http2Stream<Line extends StreamLine = StreamLine> implements Sender, ReadControl {
  id = 0;
  protected abstract readonly sink: BodySink | undefined;
  protected readonly line: Line;
  sent: Sent = 'nothing';
  sendWindow: number;
  sendQueue: SendQueue | undefined = undefined;
  ending = false;
  owesWritable = false;
  listed = false;
  previousListed: Sender | undefined = undefined;
  nextListed: Sender | undefined = undefined;
  private waitingTrailers: HeaderMap | undefined = undefined;
  private flushTimer: ReturnType<typeof setTimeout> | undefined = undefined;
  /** END_STREAM was sent, or received. */
  sendEnded = false;
  receiveEnded = false;
  over = false;
  private receiveWindow: StreamReceiveWindow | undefined = undefined;
  /** Bytes that content-length announced and that have not come; below 0: it said nothing. */
  private bodyLeft = -1;

  constructor(line: Line, sendWindow: number) {
    this.line = line;
    this.sendWindow = sendWindow;
  }

  /** @param bytes valid during the call alone */
  data(bytes: Uint8Array, end: boolean): boolean {
    if (this.over || this.ending || this.sendEnded || this.sent === 'nothing') return true;
    if (bytes.length > 0) this.sent = 'body';
    return this.line.scheduler.send(this, bytes, end);
  }

  trailers(trailers: HeaderMap): void {
    if (this.over || this.ending || this.sendEnded || this.sent === 'nothing') return;
    this.waitingTrailers = trailers;
    if (!this.line.scheduler.endBehindQueue(this)) this.onSendEnded();
  }

  reset(reason: ResetReason): void {
    if (this.over) return;
    if (this.id === 0) this.line.forget(this);
    else this.line.resetStream(this, resetCode(reason));
  }

  get endsWithTrailers(): boolean {
    return this.waitingTrailers !== undefined;
  }

  onSendEnded(): void {
    const { waitingTrailers } = this;
    if (waitingTrailers !== undefined) {
      this.waitingTrailers = undefined;
      this.line.writeTrailers(this.id, waitingTrailers);
    }
    this.endSending();
  }

  /** END_STREAM was written. */
  protected endSending(): void {
    this.sendEnded = true;
    clearTimeout(this.flushTimer);
    this.settle();
  }

  /** One of the directions has ended. */
  protected abstract settle(): void;

  onSendProgress(): void {
    const { flushMs } = this.line;
    if (!this.ending || flushMs === 0 || this.over) return;
    clearTimeout(this.flushTimer);
    this.flushTimer =
      this.sendQueue === undefined ? undefined : setTimeout(() => this.line.onFlushTimeout(this), flushMs);
  }

  onWritable(): void {
    if (this.over) return;
    try {
      this.sink?.onWritable();
    } catch (error) {
      this.line.onInternalError(this, error);
    }
  }

  pause(): void {
    this.receiveWindow?.pause();
  }

  resume(): void {
    if (this.receiveWindow?.paused) this.receiveWindow.resume(this.receiveEnded || this.over ? 0 : this.id);
  }

  /** The peer may send data from now on. @param initialWindow bytes */
  expectData(initialWindow: number): void {
    this.receiveWindow = new StreamReceiveWindow(this.line.receiveWindow, this.line.writer, initialWindow);
  }

  /** What content-length announced; undefined: nothing. */
  expectBody(size: number | undefined): void {
    this.bodyLeft = size ?? -1;
  }

  /** A DATA frame begins. @returns false: it is larger than the window of the stream */
  receiveFrame(length: number): boolean {
    return this.receiveWindow?.receive(length) ?? false;
  }

  adjustReceiveWindow(delta: number): void {
    this.receiveWindow?.adjust(delta);
  }

  /** @param counted bytes of flow control; the data and its padding */
  receiveData(bytes: Uint8Array, counted: number, end: boolean): void {
    if (!this.takesBody(bytes.length, end)) return;
    if (end) this.receiveEnded = true;
    if (bytes.length > 0 || end) {
      try {
        this.sink?.onData(bytes, end);
      } catch (error) {
        this.line.onInternalError(this, error);
      }
    }
    if (this.over) return;
    this.receiveWindow?.deliver(counted, end ? 0 : this.id);
    if (end) this.settle();
  }

  /** @throws MalformedMessage */
  receiveTrailers(trailers: HeaderMap): void {
    if (this.bodyLeft > 0) throw invalidMessage('the body is not as long as its content-length');
    this.receiveEnded = true;
    try {
      this.sink?.onTrailers(trailers);
    } catch (error) {
      this.line.onInternalError(this, error);
    }
    if (!this.over) this.settle();
  }

  /** @returns false: content-length says something else, and the stream was ended for it */
  private takesBody(length: number, end: boolean): boolean {
    if (this.bodyLeft < 0) return true;
    this.bodyLeft -= length;
    if (this.bodyLeft >= 0 && !(end && this.bodyLeft > 0)) return true;
    this.line.onWrongLength(this);
    return false;
  }

  /** Nothing more is sent or received. */
  close(): void {
    this.over = true;
    clearTimeout(this.flushTimer);
    this.line.scheduler.remove(this);
    this.sendQueue?.clear();
    this.sendQueue = undefined;
    this.waitingTrailers = undefined;
    this.receiveWindow?.close();
  }

  /** The stream ended without a whole message, and not by `reset`. It was closed before. */
  abstract lose(reason: ResetReason, detail: string): void;
}
