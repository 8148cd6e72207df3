/**
 * Reads HTTP/2 frames (RFC 9113 sections 4 and 6) with every rule of form checked. The payload of DATA is reported as it
 * comes, every other frame once it is whole; nothing is allocated for a frame but the view of its data.
 */
import { ByteBuffer } from '../byte-buffer.ts';
import { Http2Error } from '../error.ts';
import { CLIENT_PREFACE, DEFAULT_FRAME_SIZE, FLAG, FRAME, LARGEST_WINDOW, SETTING } from '../frames.ts';

/** What was read. Byte arrays are valid during the call alone. */
export interface FrameSink {
  /** A DATA frame begins. @param length bytes that count for flow control: its data with its padding */
  onDataFrame(stream: number, length: number): void;
  /**
   * A part of the frame that `onDataFrame` began; its parts may come in later reads.
   * @param counted bytes that count for flow control
   * @param end the last of the stream
   */
  onDataPart(data: Uint8Array, counted: number, end: boolean): void;
  /** A whole header block, its CONTINUATION frames joined: `bytes[start, end)`. */
  onHeaders(stream: number, bytes: Uint8Array, start: number, end: number, endStream: boolean): void;
  /** @param dependency the stream that this one is said to depend on */
  onPriority(stream: number, dependency: number): void;
  onReset(stream: number, code: number): void;
  onSetting(id: number, value: number): void;
  /** Behind the settings of one frame. */
  onSettings(): void;
  onSettingsAck(): void;
  /** @param bytes eight of them, from `at` on, are its payload */
  onPing(bytes: Uint8Array, at: number, ack: boolean): void;
  onGoaway(lastStream: number, code: number): void;
  /** @param stream 0: of the connection. @param increment may be 0, which is an error of its stream */
  onWindowUpdate(stream: number, increment: number): void;
}

export interface FrameLimits {
  /** Bytes of one header block. */
  readonly blockBytes: number;
  /** CONTINUATION frames of one header block. */
  readonly continuations: number;
  /** Successive frames with an empty payload and no END_STREAM. */
  readonly emptyFrames: number;
}

const HEAD = 9;
const EMPTY = new Uint8Array(0);
const LARGEST_FRAME_SIZE = 0xffffff;

/** What the next byte belongs to. */
const [AT_PREFACE, AT_HEAD, AT_PAYLOAD, AT_DATA] = [0, 1, 2, 3];

/** Of one SETTINGS frame; nghttp2's limit. Each costs work for all open streams (CVE-2020-11080). */
const MOST_SETTINGS = 32;

export class FrameReader {
  private readonly sink: FrameSink;
  private readonly limits: FrameLimits;
  private place: number;
  private stopped = false;
  private first = true;
  /** Bytes of a frame head, or of a payload, whose end has not come; or how much of the preface was read. */
  private held: ByteBuffer | undefined = undefined;
  private prefaceRead = 0;
  /** The head of the frame that is being read. */
  private length = 0;
  private type = 0;
  private flags = 0;
  private stream = 0;
  /** Of a DATA frame: bytes to come, the last `padding` of which are padding; below 0: the pad length is to come. */
  private dataLeft = 0;
  private padding = 0;
  /** A header block under way; stream 0: none. */
  private blockStream = 0;
  private block: ByteBuffer | undefined = undefined;
  private blockEndsStream = false;
  private continuations = 0;
  private emptyFrames = 0;

  /** @param preface the peer is a client: its first bytes are the preface */
  constructor(sink: FrameSink, limits: FrameLimits, preface: boolean) {
    this.sink = sink;
    this.limits = limits;
    this.place = preface ? AT_PREFACE : AT_HEAD;
  }

  /** Nothing more is read: the rest of what is being read is dropped. */
  stop(): void {
    this.stopped = true;
    this.held = undefined;
    this.block = undefined;
  }

  /** What began and is not whole is a header block, or the preface. */
  get partialHead(): boolean {
    return this.place === AT_PREFACE ? this.prefaceRead > 0 : this.partialStream !== 0;
  }

  /** The stream of a header block that is not whole; 0: none. */
  get partialStream(): number {
    if (this.blockStream !== 0) return this.blockStream;
    return this.place === AT_PAYLOAD && this.type === FRAME.HEADERS ? this.stream : 0;
  }

  /** @throws Http2Error after which the connection must end */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.stopped) {
      if (this.place === AT_HEAD) at = this.readHead(bytes, at);
      else if (this.place === AT_DATA) at = this.readData(bytes, at);
      else if (this.place === AT_PAYLOAD) at = this.readPayload(bytes, at);
      else at = this.readPreface(bytes, at);
    }
  }

  private readPreface(bytes: Uint8Array, from: number): number {
    let at = from;
    while (at < bytes.length && this.prefaceRead < CLIENT_PREFACE.length) {
      if (bytes[at++] !== CLIENT_PREFACE[this.prefaceRead++])
        throw new Http2Error('PROTOCOL_ERROR', 'the client preface is not that of HTTP/2');
    }
    if (this.prefaceRead === CLIENT_PREFACE.length) this.place = AT_HEAD;
    return at;
  }

  private readHead(bytes: Uint8Array, at: number): number {
    if (this.held === undefined && bytes.length - at >= HEAD) {
      this.begin(bytes, at);
      return this.continueFrame(bytes, at + HEAD);
    }
    const next = this.hold(bytes, at, HEAD);
    const held = this.held!;
    if (held.length < HEAD) {
      // A peer that speaks another protocol is not waited for.
      if (this.first && held.length > 3) this.checkFirst(held.bytes[3]!, 0);
      return next;
    }
    this.held = undefined;
    this.begin(held.bytes, 0);
    return this.continueFrame(bytes, next);
  }

  /** Behind the head of a frame: its payload, where all of it is there. */
  private continueFrame(bytes: Uint8Array, at: number): number {
    if (this.place !== AT_PAYLOAD) return at;
    const end = at + this.length;
    if (end > bytes.length) return at;
    this.place = AT_HEAD;
    this.frame(bytes, at, end);
    return end;
  }

  private readPayload(bytes: Uint8Array, at: number): number {
    const next = this.hold(bytes, at, this.length);
    const held = this.held!;
    if (held.length < this.length) return next;
    this.held = undefined;
    this.place = AT_HEAD;
    this.frame(held.bytes, 0, this.length);
    return next;
  }

  /** Keeps what of `wanted` bytes is there. @returns where the rest of `bytes` begins */
  private hold(bytes: Uint8Array, at: number, wanted: number): number {
    this.held ??= new ByteBuffer();
    const end = Math.min(bytes.length, at + wanted - this.held.length);
    this.held.append(bytes.subarray(at, end));
    return end;
  }

  private begin(bytes: Uint8Array, at: number): void {
    this.length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    this.type = bytes[at + 3]!;
    this.flags = bytes[at + 4]!;
    this.stream = uint32(bytes, at + 5) & 0x7fffffff;
    if (this.first) {
      this.checkFirst(this.type, this.flags);
      this.first = false;
    }
    if (this.length > DEFAULT_FRAME_SIZE) throw new Http2Error('FRAME_SIZE_ERROR', 'a frame is too large');
    if (this.blockStream !== 0 && (this.type !== FRAME.CONTINUATION || this.stream !== this.blockStream))
      throw new Http2Error('PROTOCOL_ERROR', 'a header block is interrupted');
    if (this.type === FRAME.DATA) this.beginData();
    else this.place = AT_PAYLOAD;
  }

  /** A connection preface: SETTINGS, and no acknowledgement (section 3.4). */
  private checkFirst(type: number, flags: number): void {
    if (type !== FRAME.SETTINGS || (flags & FLAG.ACK) !== 0)
      throw new Http2Error('PROTOCOL_ERROR', 'the first frame is not SETTINGS');
  }

  private beginData(): void {
    const { length, flags } = this;
    if (this.stream === 0) throw new Http2Error('PROTOCOL_ERROR', 'DATA on stream 0');
    const padded = (flags & FLAG.PADDED) !== 0;
    if (padded && length === 0) throw new Http2Error('FRAME_SIZE_ERROR', 'a padded frame has no pad length');
    this.checkEmpty(length, (flags & FLAG.END_STREAM) !== 0);
    this.dataLeft = length;
    this.padding = padded ? -1 : 0;
    if (length > 0) this.place = AT_DATA;
    this.sink.onDataFrame(this.stream, length);
    if (length === 0 && !this.stopped) this.sink.onDataPart(EMPTY, 0, (flags & FLAG.END_STREAM) !== 0);
  }

  private readData(bytes: Uint8Array, from: number): number {
    let at = from;
    if (this.padding < 0) {
      this.padding = bytes[at++]!;
      this.dataLeft--;
      if (this.padding > this.dataLeft) throw new Http2Error('PROTOCOL_ERROR', 'padding is longer than its frame');
    }
    const start = at;
    const dataEnd = Math.min(bytes.length, at + Math.max(0, this.dataLeft - this.padding));
    const end = Math.min(bytes.length, at + this.dataLeft);
    this.dataLeft -= end - at;
    at = end;
    const whole = this.dataLeft === 0;
    if (whole) this.place = AT_HEAD;
    else if (this.padding > this.dataLeft) this.padding = this.dataLeft;
    const data = dataEnd > start ? bytes.subarray(start, dataEnd) : EMPTY;
    this.sink.onDataPart(data, at - from, whole && (this.flags & FLAG.END_STREAM) !== 0);
    return at;
  }

  private checkEmpty(length: number, endStream: boolean): void {
    if (length > 0 || endStream) this.emptyFrames = 0;
    else if (++this.emptyFrames > this.limits.emptyFrames)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many empty frames', 'inbound_empty_frames_flood');
  }

  private frame(bytes: Uint8Array, at: number, end: number): void {
    const { sink, stream, flags } = this;
    switch (this.type) {
      case FRAME.HEADERS:
        onStream(stream, 'HEADERS');
        this.headers(bytes, at, end);
        return;
      case FRAME.PRIORITY:
        onStream(stream, 'PRIORITY');
        sized(end - at, 5, 'PRIORITY');
        sink.onPriority(stream, uint32(bytes, at) & 0x7fffffff);
        return;
      case FRAME.RST_STREAM:
        onStream(stream, 'RST_STREAM');
        sized(end - at, 4, 'RST_STREAM');
        sink.onReset(stream, uint32(bytes, at));
        return;
      case FRAME.SETTINGS:
        onConnection(stream, 'SETTINGS');
        this.settings(bytes, at, end);
        return;
      case FRAME.PUSH_PROMISE:
        throw new Http2Error('PROTOCOL_ERROR', 'PUSH_PROMISE, which was not allowed');
      case FRAME.PING:
        onConnection(stream, 'PING');
        sized(end - at, 8, 'PING');
        sink.onPing(bytes, at, (flags & FLAG.ACK) !== 0);
        return;
      case FRAME.GOAWAY:
        onConnection(stream, 'GOAWAY');
        if (end - at < 8) throw new Http2Error('FRAME_SIZE_ERROR', 'GOAWAY is too short');
        sink.onGoaway(uint32(bytes, at) & 0x7fffffff, uint32(bytes, at + 4));
        return;
      case FRAME.WINDOW_UPDATE:
        sized(end - at, 4, 'WINDOW_UPDATE');
        sink.onWindowUpdate(stream, uint32(bytes, at) & 0x7fffffff);
        return;
      case FRAME.CONTINUATION:
        this.continuation(bytes, at, end);
        return;
      default:
      // Unknown types are ignored (section 4.1); PRIORITY_UPDATE (RFC 9218) is one of them.
    }
  }

  private headers(bytes: Uint8Array, from: number, to: number): void {
    const { flags, stream } = this;
    let start = from;
    let end = to;
    if ((flags & FLAG.PADDED) !== 0) {
      if (end === start) throw new Http2Error('FRAME_SIZE_ERROR', 'a padded frame has no pad length');
      const padding = bytes[start++]!;
      if (padding > end - start) throw new Http2Error('PROTOCOL_ERROR', 'padding is longer than its frame');
      end -= padding;
    }
    let dependency = 0;
    if ((flags & FLAG.PRIORITY) !== 0) {
      if (end - start < 5) throw new Http2Error('FRAME_SIZE_ERROR', 'HEADERS is too short for its priority');
      dependency = uint32(bytes, start) & 0x7fffffff;
      start += 5;
    }
    this.blockEndsStream = (flags & FLAG.END_STREAM) !== 0;
    this.checkEmpty(end - start, this.blockEndsStream);
    this.blockStream = stream;
    this.continuations = 0;
    this.fragment(bytes, start, end);
    if (dependency === stream && !this.stopped) this.sink.onPriority(stream, dependency);
  }

  private continuation(bytes: Uint8Array, at: number, end: number): void {
    if (this.blockStream === 0) throw new Http2Error('PROTOCOL_ERROR', 'CONTINUATION continues nothing');
    if (++this.continuations > this.limits.continuations)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many CONTINUATION frames', 'inbound_continuation_frames_flood');
    this.checkEmpty(end - at, false);
    this.fragment(bytes, at, end);
  }

  private fragment(bytes: Uint8Array, start: number, end: number): void {
    const { block, blockStream: stream } = this;
    const last = (this.flags & FLAG.END_HEADERS) !== 0;
    if ((block?.length ?? 0) + end - start > this.limits.blockBytes)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'a header block is too large', 'header_overflow');
    if (last && block === undefined) {
      this.blockStream = 0;
      this.sink.onHeaders(stream, bytes, start, end, this.blockEndsStream);
      return;
    }
    const whole = block ?? new ByteBuffer();
    this.block = whole;
    whole.append(bytes.subarray(start, end));
    if (!last) return;
    this.block = undefined;
    this.blockStream = 0;
    this.sink.onHeaders(stream, whole.bytes, 0, whole.length, this.blockEndsStream);
  }

  private settings(bytes: Uint8Array, from: number, end: number): void {
    if ((this.flags & FLAG.ACK) !== 0) {
      sized(end - from, 0, 'SETTINGS with ACK');
      this.sink.onSettingsAck();
      return;
    }
    if ((end - from) % 6 !== 0) throw new Http2Error('FRAME_SIZE_ERROR', 'SETTINGS is not made of whole settings');
    if (end - from > 6 * MOST_SETTINGS)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'a SETTINGS frame has too many settings', 'outbound_control_flood');
    for (let at = from; at < end; at += 6) {
      const id = (bytes[at]! << 8) | bytes[at + 1]!;
      const value = uint32(bytes, at + 2);
      checkSetting(id, value);
      this.sink.onSetting(id, value);
    }
    this.sink.onSettings();
  }
}

function checkSetting(id: number, value: number): void {
  if ((id === SETTING.ENABLE_PUSH || id === SETTING.ENABLE_CONNECT_PROTOCOL) && value > 1)
    throw new Http2Error('PROTOCOL_ERROR', 'a setting that is 0 or 1 has another value');
  if (id === SETTING.INITIAL_WINDOW_SIZE && value > LARGEST_WINDOW)
    throw new Http2Error('FLOW_CONTROL_ERROR', 'SETTINGS_INITIAL_WINDOW_SIZE is too large');
  if (id === SETTING.MAX_FRAME_SIZE && (value < DEFAULT_FRAME_SIZE || value > LARGEST_FRAME_SIZE))
    throw new Http2Error('PROTOCOL_ERROR', 'SETTINGS_MAX_FRAME_SIZE is out of bounds');
}

function onStream(stream: number, type: string): void {
  if (stream === 0) throw new Http2Error('PROTOCOL_ERROR', `${type} on stream 0`);
}

function onConnection(stream: number, type: string): void {
  if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', `${type} on a stream`);
}

function sized(length: number, wanted: number, type: string): void {
  if (length !== wanted) throw new Http2Error('FRAME_SIZE_ERROR', `${type} has a wrong length`);
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
