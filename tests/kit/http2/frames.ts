/** HTTP/2 frames as bytes (RFC 9113 sections 4 and 6). Nothing is checked: tests write malformed frames with it too. */
import { type Field, literals } from './hpack.ts';

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { end: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

/** Error codes (RFC 9113 section 7). */
export const CODE = {
  no: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  connect: 10,
  calm: 11,
  security: 12,
  http11: 13,
} as const;

/** Identifiers of settings (RFC 9113 section 6.5.2, RFC 8441 section 3). */
export const SETTING = {
  tableSize: 1,
  push: 2,
  streams: 3,
  window: 4,
  frame: 5,
  headerList: 6,
  connectProtocol: 8,
} as const;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export type Payload = Uint8Array | string;
const bytesOf = (payload: Payload) => (typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload);

/** @param length what the header says of the payload. Default: the truth */
export function frame(type: number, flags: number, stream: number, payload: Payload = '', length?: number): Buffer {
  const bytes = bytesOf(payload);
  const out = Buffer.alloc(9 + bytes.length);
  out.writeUIntBE(length ?? bytes.length, 0, 3);
  out[3] = type;
  out[4] = flags;
  out.writeUInt32BE(stream >>> 0, 5);
  out.set(bytes, 9);
  return out;
}

const u32 = (...values: number[]) => {
  const out = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) out.writeUInt32BE(value >>> 0, 4 * i);
  return out;
};

/** A whole head or trailers in one frame. */
export const headers = (stream: number, fields: readonly Field[], end = false): Buffer =>
  frame(TYPE.headers, FLAG.endHeaders | (end ? FLAG.end : 0), stream, literals(fields));
export const trailers = (stream: number, fields: readonly Field[]): Buffer => headers(stream, fields, true);
/** HEADERS without END_HEADERS. */
export const headersBegin = (stream: number, block: Payload, end = false): Buffer =>
  frame(TYPE.headers, end ? FLAG.end : 0, stream, block);
export const continuation = (stream: number, block: Payload, endHeaders: boolean): Buffer =>
  frame(TYPE.continuation, endHeaders ? FLAG.endHeaders : 0, stream, block);
export const data = (stream: number, payload: Payload, end = false): Buffer =>
  frame(TYPE.data, end ? FLAG.end : 0, stream, payload);
export const reset = (stream: number, code: number): Buffer => frame(TYPE.rstStream, 0, stream, u32(code));
export const goaway = (last: number, code: number, debug = ''): Buffer =>
  frame(TYPE.goaway, 0, 0, Buffer.concat([u32(last, code), Buffer.from(debug, 'latin1')]));
export const windowUpdate = (stream: number, by: number): Buffer => frame(TYPE.windowUpdate, 0, stream, u32(by));
export const ping = (payload = 'tullekit', ack = false): Buffer =>
  frame(TYPE.ping, ack ? FLAG.ack : 0, 0, Buffer.from(payload.padEnd(8).slice(0, 8), 'latin1'));
export const settingsAck = (): Buffer => frame(TYPE.settings, FLAG.ack, 0);

export type Settings = readonly (readonly [id: number, value: number])[];

export function settings(values: Settings = []): Buffer {
  const out = Buffer.alloc(6 * values.length);
  for (const [i, [id, value]] of values.entries()) {
    out.writeUInt16BE(id, 6 * i);
    out.writeUInt32BE(value >>> 0, 6 * i + 2);
  }
  return frame(TYPE.settings, 0, 0, out);
}

/** @param weight as on the wire, one less than what it means */
export const priority = (stream: number, on: number, weight = 15): Buffer =>
  frame(TYPE.priority, 0, stream, Buffer.concat([u32(on), Buffer.from([weight])]));

/** Takes frames out of bytes as they come. */
export class FrameReader {
  private rest: Buffer = Buffer.alloc(0);
  private readonly onFrame: (frame: Frame) => void;

  constructor(onFrame: (frame: Frame) => void) {
    this.onFrame = onFrame;
  }

  push(bytes: Buffer): void {
    let input = this.rest.length > 0 ? Buffer.concat([this.rest, bytes]) : bytes;
    while (input.length >= 9) {
      const end = 9 + input.readUIntBE(0, 3);
      if (input.length < end) break;
      const stream = input.readUInt32BE(5) & 0x7fffffff;
      this.onFrame({ type: input[3]!, flags: input[4]!, stream, payload: input.subarray(9, end) });
      input = input.subarray(end);
    }
    this.rest = Buffer.from(input);
  }
}

/** The payload of DATA or HEADERS without padding and priority. */
export function unpadded({ type, flags, payload }: Frame): Buffer {
  const padded = (flags & FLAG.padded) !== 0;
  const start = (padded ? 1 : 0) + (type === TYPE.headers && flags & FLAG.priority ? 5 : 0);
  return payload.subarray(start, payload.length - (padded ? payload[0]! : 0));
}
