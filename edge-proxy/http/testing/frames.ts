/**
 * A toy protocol that carries several streams on one connection, for tests: the shape of HTTP/2 without HPACK, SETTINGS and
 * PRIORITY. A frame is its payload's length (4 bytes), a type (1), 1 where it ends the sender's direction (1), a stream id
 * (4), and the payload; heads, trailers and reset reasons are JSON.
 */
import { concat, joined } from '../codec/bytes.ts';
import { HeaderMap } from '../message/header-map.ts';

export const HEAD = 1;
export const DATA = 2;
export const TRAILERS = 3;
/** Payload: the reason. */
export const RESET = 4;
/** Payload: 4 bytes, by how much the peer's window of this stream grows. */
export const CREDIT = 5;
/** The sender takes no stream beyond this id. */
export const GOAWAY = 6;
export const INTERIM = 7;

/** Bytes of data that may be under way on a stream before there is further credit. */
export const WINDOW = 64 * 1024;
const FRAME_HEAD = 10;

export interface Frame {
  readonly type: number;
  readonly end: boolean;
  readonly stream: number;
  readonly payload: Uint8Array;
}

export type Fields = readonly (readonly [string, string])[];

/** What a HEAD frame says of a request. */
export interface RequestFields {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly headers: Fields;
  readonly bodySize?: number;
}

export interface ResponseFields {
  readonly status: number;
  readonly headers: Fields;
}

export function encodeFrame(type: number, end: boolean, stream: number, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(FRAME_HEAD + payload.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, payload.length);
  out[4] = type;
  out[5] = end ? 1 : 0;
  view.setUint32(6, stream);
  out.set(payload, FRAME_HEAD);
  return out;
}

export function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

export function parsed(payload: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(payload));
}

export function credit(bytes: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, bytes);
  return out;
}

export function creditOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

export function fieldsOf(headers: HeaderMap): Fields {
  return headers.keys.map((key, i) => [key, headers.values[i]!] as const);
}

export function headersOf(fields: Fields): HeaderMap {
  const headers = new HeaderMap();
  for (const [name, value] of fields) headers.append(name, value);
  return headers;
}

/** Gathers bytes until frames are whole. */
export class FrameReader {
  private rest: Uint8Array = new Uint8Array(0);

  /** The frame that is partly read is a head. */
  get partialHead(): boolean {
    return this.rest.length > 4 && this.rest[4] === HEAD;
  }

  /** Of the frame that is partly read; 0: its head is not here yet. */
  get partialStream(): number {
    return this.rest.length < FRAME_HEAD ? 0 : new DataView(this.rest.buffer, this.rest.byteOffset).getUint32(6);
  }

  get partial(): boolean {
    return this.rest.length > 0;
  }

  /** @param bytes copied where they are kept. */
  read(bytes: Uint8Array, onFrame: (frame: Frame) => void): void {
    let left = concat(this.rest, bytes);
    this.rest = new Uint8Array(0);
    while (left.length >= FRAME_HEAD) {
      const view = new DataView(left.buffer, left.byteOffset);
      const size = FRAME_HEAD + view.getUint32(0);
      if (left.length < size) break;
      const payload = left.subarray(FRAME_HEAD, size);
      onFrame({ type: left[4]!, end: left[5] === 1, stream: view.getUint32(6), payload });
      left = left.subarray(size);
    }
    this.rest = left;
  }

  drop(): void {
    this.rest = new Uint8Array(0);
  }
}

/** Bytes that wait for a window, in order. */
export class WindowQueue {
  private chunks: Uint8Array[] = [];
  size = 0;

  /** @param bytes copied */
  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.chunks.push(new Uint8Array(bytes));
    this.size += bytes.length;
  }

  /** @returns at most `most` bytes from the front */
  take(most: number): Uint8Array {
    const all = joined(this.chunks, this.size);
    const out = all.subarray(0, most);
    this.chunks = out.length < all.length ? [all.subarray(out.length)] : [];
    this.size -= out.length;
    return out;
  }
}
