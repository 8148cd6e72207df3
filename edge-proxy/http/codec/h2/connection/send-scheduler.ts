/**
 * Sends the data of streams in turn, a frame each, as the windows of the connection and of the streams and the connection
 * itself allow. Streams that have data and a window are in a list that is linked through them.
 */
import { Http2Error } from '../error.ts';
import { DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, LARGEST_WINDOW } from '../frames.ts';
import type { FrameWriter } from './frame-writer.ts';
import { SendQueue } from './send-queue.ts';

/** A stream above this many bytes that wait has to wait; below the second number it continues. */
const HIGH_WATER = 64 * 1024;
const LOW_WATER = 16 * 1024;

/** A stream as the scheduler sees it; the fields below are the scheduler's own. */
export interface Sender {
  readonly id: number;
  /** Bytes that the peer takes; below 0 after it made its window smaller (section 6.9.2). */
  sendWindow: number;
  sendQueue: SendQueue | undefined;
  /** Its direction ends behind what waits: by END_STREAM or by trailers. */
  ending: boolean;
  /** `data` answered false. */
  owesWritable: boolean;
  /** It is in the list. */
  listed: boolean;
  previousListed: Sender | undefined;
  nextListed: Sender | undefined;
  /** Trailers end the direction, and not END_STREAM with the last data. */
  readonly endsWithTrailers: boolean;
  /** All data was written, with END_STREAM unless trailers are to follow. */
  onSendEnded(): void;
  onWritable(): void;
  /** What waits moves, has begun to wait, or is known to be the last. */
  onSendProgress(): void;
}

export class SendScheduler {
  private readonly writer: FrameWriter;
  /** Of the connection. */
  private window = DEFAULT_WINDOW;
  private first: Sender | undefined = undefined;
  private last: Sender | undefined = undefined;

  constructor(writer: FrameWriter) {
    this.writer = writer;
  }

  /** @returns false: the stream is to wait for `onWritable` */
  send(stream: Sender, bytes: Uint8Array, end: boolean): boolean {
    const waits = stream.sendQueue !== undefined && stream.sendQueue.size > 0;
    const sent = waits ? 0 : this.sendAtOnce(stream, bytes, end);
    if (sent === bytes.length && !waits) {
      if (end) {
        if (bytes.length === 0) this.writer.data(stream.id, bytes, 0, 0, true);
        stream.onSendEnded();
      }
      return true;
    }
    stream.sendQueue ??= new SendQueue();
    stream.sendQueue.add(bytes, sent);
    if (end) stream.ending = true;
    if (stream.sendWindow > 0) this.list(stream);
    stream.onSendProgress();
    if (stream.sendQueue.size <= HIGH_WATER) return true;
    stream.owesWritable = true;
    return false;
  }

  /** @returns how many bytes were written; streams that wait come first */
  private sendAtOnce(stream: Sender, bytes: Uint8Array, end: boolean): number {
    let at = 0;
    if (this.first !== undefined) return 0;
    while (at < bytes.length && !this.writer.blocked) {
      const size = Math.min(DEFAULT_FRAME_SIZE, bytes.length - at, stream.sendWindow, this.window);
      if (size <= 0) break;
      this.write(stream, bytes, at, size, end && at + size === bytes.length);
      at += size;
    }
    return at;
  }

  private write(stream: Sender, bytes: Uint8Array, at: number, size: number, end: boolean): void {
    stream.sendWindow -= size;
    this.window -= size;
    this.writer.data(stream.id, bytes, at, at + size, end);
  }

  /** Trailers follow what waits. @returns false: nothing waits, write them now */
  endBehindQueue(stream: Sender): boolean {
    if (stream.sendQueue === undefined || stream.sendQueue.size === 0) return false;
    stream.ending = true;
    stream.onSendProgress();
    return true;
  }

  /** @throws Http2Error FLOW_CONTROL_ERROR */
  widen(increment: number): void {
    this.window += increment;
    if (this.window > LARGEST_WINDOW)
      throw new Http2Error('FLOW_CONTROL_ERROR', 'the window of the connection is too large');
    this.run();
  }

  /** The window of a stream has changed; `run` follows. @returns false: it is too large */
  widenStream(stream: Sender, increment: number): boolean {
    stream.sendWindow += increment;
    if (stream.sendWindow > LARGEST_WINDOW) return false;
    if (stream.sendWindow > 0 && stream.sendQueue !== undefined && stream.sendQueue.size > 0) this.list(stream);
    return true;
  }

  private list(stream: Sender): void {
    if (stream.listed) return;
    stream.listed = true;
    stream.previousListed = this.last;
    if (this.last) this.last.nextListed = stream;
    else this.first = stream;
    this.last = stream;
  }

  /** The stream sends nothing more. A list that waits for the peer's window would keep it in memory. */
  remove(stream: Sender): void {
    if (!stream.listed) return;
    const { previousListed: previous, nextListed: next } = stream;
    if (previous) previous.nextListed = next;
    else this.first = next;
    if (next) next.previousListed = previous;
    else this.last = previous;
    stream.listed = false;
    stream.previousListed = undefined;
    stream.nextListed = undefined;
  }

  /** Sends what may be sent. */
  run(): void {
    while (this.first !== undefined && this.window > 0 && !this.writer.blocked) {
      const stream = this.first;
      this.remove(stream);
      this.serve(stream);
    }
  }

  private serve(stream: Sender): void {
    const queue = stream.sendQueue!;
    const { bytes, start, end } = queue;
    const size = Math.min(DEFAULT_FRAME_SIZE, end - start, stream.sendWindow, this.window);
    if (size <= 0) return;
    const last = size === queue.size;
    const ends = last && stream.ending && !stream.endsWithTrailers;
    this.write(stream, bytes, start, size, ends);
    queue.skip(size);
    if (!last) {
      if (stream.sendWindow > 0) this.list(stream);
    } else {
      stream.sendQueue = undefined;
      if (stream.ending) stream.onSendEnded();
    }
    stream.onSendProgress();
    if (!stream.owesWritable || queue.size > LOW_WATER) return;
    stream.owesWritable = false;
    stream.onWritable();
  }
}
