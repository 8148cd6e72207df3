/** Numbers of HTTP/2 frames (RFC 9113 sections 4 and 6), and frames that are written one by one. */

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
const HEAD = 9;

const nothing = new Uint8Array(0);

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
