/** HTTP/2 frames on the wire (RFC 9113 sections 4 and 6): reading with every rule of form checked, and writing. */
import { concat } from '../bytes.ts';
import { Http2Error } from './error.ts';

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const FLAG = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

export const SETTING = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  /** RFC 8441. */
  ENABLE_CONNECT_PROTOCOL: 8,
} as const;

/** Payload bytes of a frame until SETTINGS_MAX_FRAME_SIZE allows more. */
export const DEFAULT_FRAME_SIZE = 16_384;
export const DEFAULT_WINDOW = 65_535;
export const LARGEST_WINDOW = 0x7fffffff;
const LARGEST_FRAME_SIZE = 0xffffff;
const HEAD = 9;

/** What was read. Byte arrays are valid during the call alone. */
export interface FrameSink {
  /** @param counted bytes that count for flow control: the data with its padding */
  onData(stream: number, data: Uint8Array, counted: number, endStream: boolean): void;
  /** @param block a whole header block, its CONTINUATION frames joined */
  onHeaders(stream: number, block: Uint8Array, endStream: boolean): void;
  onReset(stream: number, code: number): void;
  onSettings(settings: readonly (readonly [id: number, value: number])[]): void;
  onSettingsAck(): void;
  onPing(opaque: Uint8Array, ack: boolean): void;
  onGoaway(lastStream: number, code: number): void;
  /** @param stream 0: of the connection */
  onWindowUpdate(stream: number, increment: number): void;
}

export interface FrameLimits {
  /** Payload bytes of a frame: as our SETTINGS_MAX_FRAME_SIZE announced. */
  readonly frameSize: number;
  /** Bytes of one header block. */
  readonly blockSize: number;
  /** CONTINUATION frames of one header block; empty ones cost their sender next to nothing. */
  readonly continuations: number;
}

const nothing = new Uint8Array(0);

export class FrameReader {
  private readonly sink: FrameSink;
  private readonly limits: FrameLimits;
  /** The beginning of a frame whose end has not come. */
  private held: Uint8Array = nothing;
  /** A header block under way; stream 0: none. */
  private blockStream = 0;
  private block: Uint8Array = nothing;
  private blockEndsStream = false;
  private continuations = 0;
  private first = true;
  private stopped = false;

  constructor(sink: FrameSink, limits: FrameLimits) {
    this.sink = sink;
    this.limits = limits;
  }

  /** Nothing more is read: the rest of what is being read is dropped. */
  stop(): void {
    this.stopped = true;
    this.held = nothing;
    this.block = nothing;
  }

  /** @throws Http2Error after which the connection must end */
  push(bytes: Uint8Array): void {
    const all = this.held.length === 0 ? bytes : concat(this.held, bytes);
    let at = 0;
    while (!this.stopped && all.length - at >= HEAD) {
      const length = (all[at]! << 16) | (all[at + 1]! << 8) | all[at + 2]!;
      if (length > this.limits.frameSize) throw new Http2Error('FRAME_SIZE_ERROR', 'a frame is too large');
      this.checkHead(all[at + 3]!, all[at + 4]!);
      const end = at + HEAD + length;
      if (end > all.length) break;
      this.frame(all[at + 3]!, all[at + 4]!, uint32(all, at + 5) & 0x7fffffff, all.subarray(at + HEAD, end));
      at = end;
    }
    if (!this.stopped) this.held = at === all.length ? nothing : all.slice(at);
  }

  /** Of the first frame, as soon as it begins: a peer that speaks another protocol is not waited for. */
  private checkHead(type: number, flags: number): void {
    // A connection preface: SETTINGS, and no acknowledgement (section 3.4).
    if (this.first && (type !== FRAME.SETTINGS || (flags & FLAG.ACK) !== 0))
      throw new Http2Error('PROTOCOL_ERROR', 'the first frame is not SETTINGS');
  }

  private frame(type: number, flags: number, stream: number, payload: Uint8Array): void {
    this.first = false;
    if (this.blockStream !== 0 && (type !== FRAME.CONTINUATION || stream !== this.blockStream))
      throw new Http2Error('PROTOCOL_ERROR', 'a header block is interrupted');
    switch (type) {
      case FRAME.DATA: {
        onStream(stream, 'DATA');
        const data = unpadded(flags, payload);
        this.sink.onData(stream, data, payload.length, (flags & FLAG.END_STREAM) !== 0);
        return;
      }
      case FRAME.HEADERS:
        onStream(stream, 'HEADERS');
        this.headers(flags, stream, payload);
        return;
      case FRAME.PRIORITY:
        onStream(stream, 'PRIORITY');
        sized(payload, 5, 'PRIORITY');
        return;
      case FRAME.RST_STREAM:
        onStream(stream, 'RST_STREAM');
        sized(payload, 4, 'RST_STREAM');
        this.sink.onReset(stream, uint32(payload, 0));
        return;
      case FRAME.SETTINGS:
        onConnection(stream, 'SETTINGS');
        this.settings(flags, payload);
        return;
      case FRAME.PUSH_PROMISE:
        throw new Http2Error('PROTOCOL_ERROR', 'PUSH_PROMISE, which was not allowed');
      case FRAME.PING:
        onConnection(stream, 'PING');
        sized(payload, 8, 'PING');
        this.sink.onPing(payload, (flags & FLAG.ACK) !== 0);
        return;
      case FRAME.GOAWAY:
        onConnection(stream, 'GOAWAY');
        if (payload.length < 8) throw new Http2Error('FRAME_SIZE_ERROR', 'GOAWAY is too short');
        this.sink.onGoaway(uint32(payload, 0) & 0x7fffffff, uint32(payload, 4));
        return;
      case FRAME.WINDOW_UPDATE:
        sized(payload, 4, 'WINDOW_UPDATE');
        this.windowUpdate(stream, uint32(payload, 0) & 0x7fffffff);
        return;
      case FRAME.CONTINUATION:
        if (this.blockStream === 0) throw new Http2Error('PROTOCOL_ERROR', 'CONTINUATION continues nothing');
        if (++this.continuations > this.limits.continuations)
          throw new Http2Error('ENHANCE_YOUR_CALM', 'too many CONTINUATION frames');
        this.fragment(payload, (flags & FLAG.END_HEADERS) !== 0);
        return;
      default:
      // Unknown types are ignored (section 4.1).
    }
  }

  private headers(flags: number, stream: number, payload: Uint8Array): void {
    let fragment = unpadded(flags, payload);
    if ((flags & FLAG.PRIORITY) !== 0) {
      if (fragment.length < 5) throw new Http2Error('FRAME_SIZE_ERROR', 'HEADERS is too short for its priority');
      fragment = fragment.subarray(5);
    }
    this.blockStream = stream;
    this.blockEndsStream = (flags & FLAG.END_STREAM) !== 0;
    this.continuations = 0;
    this.fragment(fragment, (flags & FLAG.END_HEADERS) !== 0);
  }

  private fragment(bytes: Uint8Array, last: boolean): void {
    if (this.block.length + bytes.length > this.limits.blockSize)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'a header block is too large');
    const block = this.block.length === 0 ? bytes : concat(this.block, bytes);
    if (!last) {
      // The memory of what was read may be used again.
      this.block = block === bytes ? bytes.slice() : block;
      return;
    }
    const stream = this.blockStream;
    this.block = nothing;
    this.blockStream = 0;
    this.sink.onHeaders(stream, block, this.blockEndsStream);
  }

  private settings(flags: number, payload: Uint8Array): void {
    if ((flags & FLAG.ACK) !== 0) {
      sized(payload, 0, 'SETTINGS with ACK');
      this.sink.onSettingsAck();
      return;
    }
    if (payload.length % 6 !== 0) throw new Http2Error('FRAME_SIZE_ERROR', 'SETTINGS is not made of whole settings');
    const settings: (readonly [number, number])[] = [];
    for (let at = 0; at < payload.length; at += 6) {
      const id = (payload[at]! << 8) | payload[at + 1]!;
      const value = uint32(payload, at + 2);
      checkSetting(id, value);
      settings.push([id, value]);
    }
    this.sink.onSettings(settings);
  }

  private windowUpdate(stream: number, increment: number): void {
    if (increment === 0) throw new Http2Error('PROTOCOL_ERROR', 'WINDOW_UPDATE adds nothing');
    this.sink.onWindowUpdate(stream, increment);
  }
}

function checkSetting(id: number, value: number): void {
  if (id === SETTING.ENABLE_PUSH && value > 1)
    throw new Http2Error('PROTOCOL_ERROR', 'SETTINGS_ENABLE_PUSH is neither 0 nor 1');
  if (id === SETTING.INITIAL_WINDOW_SIZE && value > LARGEST_WINDOW)
    throw new Http2Error('FLOW_CONTROL_ERROR', 'SETTINGS_INITIAL_WINDOW_SIZE is too large');
  if (id === SETTING.MAX_FRAME_SIZE && (value < DEFAULT_FRAME_SIZE || value > LARGEST_FRAME_SIZE))
    throw new Http2Error('PROTOCOL_ERROR', 'SETTINGS_MAX_FRAME_SIZE is out of bounds');
}

function unpadded(flags: number, payload: Uint8Array): Uint8Array {
  if ((flags & FLAG.PADDED) === 0) return payload;
  if (payload.length === 0) throw new Http2Error('FRAME_SIZE_ERROR', 'a padded frame has no pad length');
  const padding = payload[0]!;
  if (padding >= payload.length) throw new Http2Error('PROTOCOL_ERROR', 'padding is longer than its frame');
  return payload.subarray(1, payload.length - padding);
}

function onStream(stream: number, type: string): void {
  if (stream === 0) throw new Http2Error('PROTOCOL_ERROR', `${type} on stream 0`);
}

function onConnection(stream: number, type: string): void {
  if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', `${type} on a stream`);
}

function sized(payload: Uint8Array, length: number, type: string): void {
  if (payload.length !== length) throw new Http2Error('FRAME_SIZE_ERROR', `${type} has a wrong length`);
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function setUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** What a client says first (section 3.4); its SETTINGS follow. */
export const CLIENT_PREFACE: Uint8Array = Uint8Array.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', (c) => c.charCodeAt(0));

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = nothing): Uint8Array {
  const out = new Uint8Array(HEAD + payload.length);
  setUint32(out, 0, (payload.length << 8) | type);
  out[4] = flags;
  setUint32(out, 5, stream);
  out.set(payload, HEAD);
  return out;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Uint8Array {
  const payload = new Uint8Array(settings.length * 6);
  for (const [i, [id, value]] of settings.entries()) {
    payload[i * 6] = id >>> 8;
    payload[i * 6 + 1] = id;
    setUint32(payload, i * 6 + 2, value);
  }
  return frame(FRAME.SETTINGS, 0, 0, payload);
}

/** HEADERS, and CONTINUATION frames where the peer's frames are too small for the block. */
export function headersFrames(stream: number, block: Uint8Array, endStream: boolean, frameSize: number): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < block.length; at += frameSize) {
    const last = at + frameSize >= block.length;
    const flags = (last ? FLAG.END_HEADERS : 0) | (at === 0 && endStream ? FLAG.END_STREAM : 0);
    const part = block.subarray(at, at + frameSize);
    frames.push(frame(at === 0 ? FRAME.HEADERS : FRAME.CONTINUATION, flags, stream, part));
  }
  return frames;
}

export function resetFrame(stream: number, code: number): Uint8Array {
  return frame(FRAME.RST_STREAM, 0, stream, words(code));
}

export function goawayFrame(lastStream: number, code: number): Uint8Array {
  return frame(FRAME.GOAWAY, 0, 0, words(lastStream, code));
}

export function windowUpdateFrame(stream: number, increment: number): Uint8Array {
  return frame(FRAME.WINDOW_UPDATE, 0, stream, words(increment));
}

function words(...values: number[]): Uint8Array {
  const out = new Uint8Array(values.length * 4);
  for (const [i, value] of values.entries()) setUint32(out, i * 4, value);
  return out;
}
