/**
 * Writes the HTTP/2 frames of one connection into one piece of memory, which goes out once per batch (see cork.ts), or as
 * soon as it is large.
 */
import type { Connection } from '../../../../runtime/runtime.ts';
import type { Corked } from '../../cork.ts';
import { uncorkSoon } from '../../cork.ts';
import type { ByteBuffer } from '../byte-buffer.ts';
import { Http2Error } from '../error.ts';
import { CLIENT_PREFACE, DEFAULT_FRAME_SIZE, FLAG, FRAME } from '../frames.ts';
import { giveBack, type PooledBuffer, takeBuffer } from './buffer-pool.ts';

const HEAD = 9;
/** So much is written before the batch ends. */
const LARGE = 64 * 1024;

export interface OutboundLimits {
  /** Frames of any kind that wait to be written. */
  readonly outboundFrames: number;
  /** PING, SETTINGS and RST_STREAM frames that wait to be written. */
  readonly outboundControlFrames: number;
}

export class FrameWriter implements Corked {
  private readonly connection: Connection;
  private readonly limits: OutboundLimits;
  private buffer: PooledBuffer | undefined = undefined;
  /** Handed to the connection, and not known to have gone out; in order. */
  private readonly flying: PooledBuffer[] = [];
  /** Bytes that were handed to the connection. */
  private handed = 0;
  /** Frames of `flying`. */
  private flyingFrames = 0;
  private flyingControlFrames = 0;
  private queued = false;
  /** Frames that were written and have not gone out. */
  private frames = 0;
  private controlFrames = 0;
  /** DATA frames that were written. */
  dataFrames = 0;
  /** The connection holds enough: no DATA until it has drained. */
  blocked = false;

  constructor(connection: Connection, limits: OutboundLimits) {
    this.connection = connection;
    this.limits = limits;
  }

  /** Frames are appended here. */
  private get out(): ByteBuffer {
    if (this.buffer !== undefined) return this.buffer;
    this.buffer = takeBuffer();
    if (!this.queued) {
      this.queued = true;
      uncorkSoon(this);
    }
    return this.buffer;
  }

  preface(): void {
    this.out.append(CLIENT_PREFACE);
  }

  settings(settings: readonly (readonly [id: number, value: number])[]): void {
    const { out } = this;
    this.head(FRAME.SETTINGS, 0, 0, settings.length * 6);
    for (const [id, value] of settings) {
      out.bytes[out.length] = id >>> 8;
      out.bytes[out.length + 1] = id;
      out.length += 2;
      append32(out, value);
    }
  }

  settingsAck(): void {
    this.controlFrames++;
    this.head(FRAME.SETTINGS, FLAG.ACK, 0, 0);
  }

  /** @param bytes eight of them, from `at` on, are the payload */
  ping(bytes: Uint8Array, at: number, ack: boolean): void {
    this.controlFrames++;
    this.head(FRAME.PING, ack ? FLAG.ACK : 0, 0, 8);
    const { out } = this;
    for (let i = 0; i < 8; i++) out.bytes[out.length + i] = bytes[at + i]!;
    out.length += 8;
  }

  reset(stream: number, code: number): void {
    this.controlFrames++;
    this.head(FRAME.RST_STREAM, 0, stream, 4);
    append32(this.out, code);
  }

  goaway(lastStream: number, code: number): void {
    this.head(FRAME.GOAWAY, 0, 0, 8);
    append32(this.out, lastStream);
    append32(this.out, code);
  }

  windowUpdate(stream: number, increment: number): void {
    this.head(FRAME.WINDOW_UPDATE, 0, stream, 4);
    append32(this.out, increment);
  }

  /** One frame of `bytes[from, to)`, at most DEFAULT_FRAME_SIZE of them. */
  data(stream: number, bytes: Uint8Array, from: number, to: number, end: boolean): void {
    this.dataFrames++;
    this.head(FRAME.DATA, end ? FLAG.END_STREAM : 0, stream, to - from);
    const { out } = this;
    if (to > from) {
      out.bytes.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), out.length);
      out.length += to - from;
    }
    if (out.length >= LARGE) this.flush();
  }

  /** @returns where a header block is to be encoded; `endHeaders` follows */
  beginHeaders(): ByteBuffer {
    const { out } = this;
    out.reserve(HEAD);
    out.length += HEAD;
    return out;
  }

  /** How long what is gathered was before `beginHeaders`. */
  get position(): number {
    return this.buffer?.length ?? 0;
  }

  /** @param start the `position` before `beginHeaders` */
  endHeaders(start: number, stream: number, endStream: boolean): void {
    const { out } = this;
    const length = out.length - start - HEAD;
    const flags = endStream ? FLAG.END_STREAM : 0;
    this.frames++;
    if (length <= DEFAULT_FRAME_SIZE)
      setHead(out.bytes, start, FRAME.HEADERS, flags | FLAG.END_HEADERS, stream, length);
    else this.split(start, stream, flags, length);
  }

  /** Takes back what was written since. @param start the `position` before `beginHeaders` */
  abandonHeaders(start: number): void {
    this.out.length = start;
  }

  /** Makes room for the heads of CONTINUATION frames, from the last one on. */
  private split(start: number, stream: number, flags: number, length: number): void {
    const { out } = this;
    const more = Math.ceil(length / DEFAULT_FRAME_SIZE) - 1;
    out.reserve(more * HEAD);
    for (let i = more; i > 0; i--) {
      const from = start + HEAD + i * DEFAULT_FRAME_SIZE;
      const size = Math.min(DEFAULT_FRAME_SIZE, length - i * DEFAULT_FRAME_SIZE);
      const to = from + i * HEAD;
      out.bytes.copyWithin(to, from, from + size);
      setHead(out.bytes, to - HEAD, FRAME.CONTINUATION, i === more ? FLAG.END_HEADERS : 0, stream, size);
    }
    out.length += more * HEAD;
    setHead(out.bytes, start, FRAME.HEADERS, flags, stream, DEFAULT_FRAME_SIZE);
  }

  /** Makes room for a frame and writes its head; the payload is to be appended. */
  private head(type: number, flags: number, stream: number, length: number): void {
    this.frames++;
    const { out } = this;
    out.reserve(HEAD + length);
    setHead(out.bytes, out.length, type, flags, stream, length);
    out.length += HEAD;
  }

  /** Of what answers to frames of a peer that does not read. @throws Http2Error ENHANCE_YOUR_CALM */
  check(): void {
    const { limits } = this;
    if (this.controlFrames <= limits.outboundControlFrames && this.frames <= limits.outboundFrames) return;
    this.release(this.handed - this.connection.buffered);
    if (this.controlFrames > limits.outboundControlFrames)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many control frames wait to be written', 'outbound_control_flood');
    if (this.frames > limits.outboundFrames)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many frames wait to be written', 'outbound_flood');
  }

  /** The connection has room again. */
  onDrain(): void {
    this.blocked = false;
    this.release(this.handed - this.connection.buffered);
  }

  /**
   * A connection that always has something to write is never seen empty, so that what has gone out is counted by bytes.
   * @param sent bytes that have gone out of those handed to the connection
   */
  private release(sent: number): void {
    const { flying } = this;
    let gone = 0;
    for (; gone < flying.length && flying[gone]!.end <= sent; gone++) {
      const one = flying[gone]!;
      this.frames -= one.frames;
      this.controlFrames -= one.controlFrames;
      this.flyingFrames -= one.frames;
      this.flyingControlFrames -= one.controlFrames;
      giveBack(one);
    }
    if (gone === 0) return;
    flying.copyWithin(0, gone);
    flying.length -= gone;
  }

  /** The frames that it holds are those since the one before it. */
  private note(buffer: PooledBuffer): void {
    this.handed += buffer.length;
    buffer.end = this.handed;
    buffer.frames = this.frames - this.flyingFrames;
    buffer.controlFrames = this.controlFrames - this.flyingControlFrames;
    this.flyingFrames = this.frames;
    this.flyingControlFrames = this.controlFrames;
    this.flying.push(buffer);
  }

  uncork(): void {
    this.queued = false;
    this.flush();
  }

  /** Hands what is gathered to the connection. */
  flush(): void {
    const { buffer, connection } = this;
    if (buffer === undefined) return;
    this.buffer = undefined;
    const room = connection.write(buffer.bytes.subarray(0, buffer.length));
    // What the connection still holds must not change.
    this.note(buffer);
    this.release(this.handed - connection.buffered);
    if (!room) this.blocked = true;
  }
}

function setHead(bytes: Uint8Array, at: number, type: number, flags: number, stream: number, length: number): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  set32(bytes, at + 5, stream);
}

/** Into memory that was reserved. */
function append32(out: ByteBuffer, value: number): void {
  set32(out.bytes, out.length, value);
  out.length += 4;
}

function set32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
