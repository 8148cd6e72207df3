/** Reads messages of the proto2 wire format (https://protobuf.dev/programming-guides/encoding) into the objects that their JSON would be. */

/** The body is not such a message, or has a field that is not supported. */
export class ProtobufError extends Error {
  override name = 'ProtobufError';
}

/** Reads one value of a field. */
export type Read = (value: Uint8Array | bigint) => unknown;

export interface Field {
  readonly name: string;
  readonly read: Read;
  readonly as: 'one' | 'list' | 'map';
}
/** Fields by their number. */
export type Message = Readonly<Record<number, Field>>;

const MAX_DEPTH = 16;
const utf8 = new TextDecoder('utf-8', { fatal: true });

export const text: Read = (value) => utf8.decode(bytesOf(value));
export const base64: Read = (value) => Buffer.from(bytesOf(value)).toString('base64');
export const flag: Read = (value) => numberOf(value) !== 0n;
export const whole: Read = (value) => Number(BigInt.asIntN(64, numberOf(value)));
export const message =
  (fields: Message): Read =>
  (value) =>
    readMessage(bytesOf(value), fields, 1);

export const one = (name: string, read: Read): Field => ({ name, read, as: 'one' });
export const list = (name: string, read: Read): Field => ({ name, read, as: 'list' });
export const map = (name: string, read: Read): Field => ({ name, read, as: 'map' });

/** @throws ProtobufError */
export function readMessage(bytes: Uint8Array, fields: Message, depth: number): Record<string, unknown> {
  if (depth > MAX_DEPTH) throw new ProtobufError('the message is nested too deeply');
  const out: Record<string, unknown> = {};
  const reader = new Reader(bytes);
  while (!reader.done) {
    const { number, value } = reader.field();
    const field = fields[number];
    if (!field) throw new ProtobufError(`field number ${number} is not supported: send JSON, as kubectl apply does`);
    put(out, field, value);
  }
  return out;
}

function put(out: Record<string, unknown>, { name, read, as }: Field, value: Uint8Array | bigint): void {
  if (as === 'map') {
    const { key = '', value: held } = entry(bytesOf(value), read);
    if (key === '__proto__') throw new ProtobufError('a key must not be __proto__');
    // In place: a copy per entry would make a large body slow out of all proportion.
    const target = (out[name] ??= {}) as Record<string, unknown>;
    target[key] = held;
  } else if (as === 'list') {
    const target = (out[name] ??= []) as unknown[];
    target.push(read(value));
  } else {
    const found = read(value);
    if (!isEmpty(found)) out[name] = found;
  }
}

function entry(bytes: Uint8Array, read: Read): { key?: string; value?: unknown } {
  return { value: read(new Uint8Array(0)), ...readMessage(bytes, { 1: one('key', text), 2: one('value', read) }, 1) };
}

function isEmpty(value: unknown): boolean {
  if (value === '' || value === null || value === 0) return true;
  return typeof value === 'object' && !(value instanceof Uint8Array) && Object.keys(value as object).length === 0;
}

/** https://protobuf.dev/programming-guides/encoding: varints and length-delimited values are all these messages use. */
class Reader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  field(): { number: number; value: Uint8Array | bigint } {
    const tag = this.varint();
    const number = Number(tag >> 3n);
    const type = Number(tag & 7n);
    if (number === 0 || number > 0x1fffffff) throw new ProtobufError('the message has a bad field number');
    if (type === 0) return { number, value: this.varint() };
    if (type === 2) return { number, value: this.slice(Number(this.varint())) };
    throw new ProtobufError(`field number ${number} has wire type ${type}, which no field here has`);
  }

  private varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw truncated();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('the message has a number that is too long');
  }

  private slice(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw truncated();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

const truncated = () => new ProtobufError('the message ends too early');

export function bytesOf(value: Uint8Array | bigint): Uint8Array {
  if (typeof value === 'bigint') throw new ProtobufError('a number instead of bytes');
  return value;
}

function numberOf(value: Uint8Array | bigint): bigint {
  if (typeof value !== 'bigint') throw new ProtobufError('bytes instead of a number');
  return value;
}
