/**
 * google.protobuf.Struct in protobuf's binary form, as far as workload metadata has it: texts, and structs of texts
 * (protobuf.dev/programming-guides/encoding, google/protobuf/struct.proto).
 */

export type StructFields = ReadonlyMap<string, string | ReadonlyMap<string, string>>;

/** Entries of all levels: more than any proxy sends. */
const MAX_ENTRIES = 256;
/** Tags: field number << 3 | wire type. All fields that are read are length-delimited. */
const FIELDS_ENTRY = 0x0a;
const ENTRY_KEY = 0x0a;
const ENTRY_VALUE = 0x12;
const VALUE_STRING = 0x1a;
const VALUE_STRUCT = 0x2a;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Values of other types, and structs inside of structs, are left out. @throws Error where it is no Struct */
export function decodeStruct(bytes: Uint8Array): StructFields {
  const limits = { entries: MAX_ENTRIES };
  const out = new Map<string, string | ReadonlyMap<string, string>>();
  readFields(bytes, limits, (key, value, isStruct) => {
    if (!isStruct) {
      out.set(key, decoder.decode(value));
      return;
    }
    const inner = new Map<string, string>();
    readFields(value, limits, (name, text, nested) => {
      if (!nested) inner.set(name, decoder.decode(text));
    });
    out.set(key, inner);
  });
  return out;
}

type TakeField = (key: string, value: Uint8Array, isStruct: boolean) => void;

function readFields(bytes: Uint8Array, limits: { entries: number }, take: TakeField): void {
  forEachField(bytes, (tag, entry) => {
    if (tag !== FIELDS_ENTRY) return;
    if (limits.entries-- === 0) throw new Error(`a Struct has more than ${MAX_ENTRIES} entries`);
    let key = '';
    let value: Uint8Array | undefined;
    forEachField(entry, (part, content) => {
      if (part === ENTRY_KEY) key = decoder.decode(content);
      else if (part === ENTRY_VALUE) value = content;
    });
    if (value === undefined) return;
    // Of a oneof the last counts.
    let kind = 0;
    let held = value;
    forEachField(value, (part, content) => {
      kind = part;
      held = content;
    });
    if (kind === VALUE_STRING || kind === VALUE_STRUCT) take(key, held, kind === VALUE_STRUCT);
  });
}

const NONE = new Uint8Array(0);

/** @param take is given the tag, and the content of a length-delimited field; other wire types have none */
function forEachField(bytes: Uint8Array, take: (tag: number, content: Uint8Array) => void): void {
  const reader = { bytes, at: 0 };
  while (reader.at < bytes.length) {
    const tag = varint(reader);
    const type = tag & 7;
    if (type === 2) take(tag, lengthDelimited(reader));
    else {
      if (type === 0) varint(reader);
      else if (type === 1) skip(reader, 8);
      else if (type === 5) skip(reader, 4);
      else throw new Error(`wire type ${type} is not supported`);
      take(tag, NONE);
    }
  }
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

/** Of 64 bits; above 2^53 the value is not exact, and none that is used is so large. */
function varint(reader: Reader): number {
  let value = 0;
  let factor = 1;
  for (let i = 0; i < 10; i++) {
    const byte = reader.bytes[reader.at++];
    if (byte === undefined) throw new Error('the message ends inside a field');
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
    factor *= 128;
  }
  throw new Error('a varint has more than 10 bytes');
}

function lengthDelimited(reader: Reader): Uint8Array {
  const length = varint(reader);
  const from = reader.at;
  skip(reader, length);
  return reader.bytes.subarray(from, reader.at);
}

function skip(reader: Reader, length: number): void {
  if (length > reader.bytes.length - reader.at) throw new Error('the message ends inside a field');
  reader.at += length;
}

/** Keys in code unit order, so that equal fields are equal bytes. */
export function encodeStruct(fields: Readonly<Record<string, string | Readonly<Record<string, string>>>>): Uint8Array {
  const entries = Object.keys(fields)
    .sort()
    .map((key) => {
      const value = fields[key]!;
      const kind =
        typeof value === 'string'
          ? delimited(VALUE_STRING, encoder.encode(value))
          : delimited(VALUE_STRUCT, encodeStruct(value));
      return delimited(FIELDS_ENTRY, joined([delimited(ENTRY_KEY, encoder.encode(key)), delimited(ENTRY_VALUE, kind)]));
    });
  return joined(entries);
}

function delimited(tag: number, content: Uint8Array): Uint8Array {
  const head = [tag];
  let { length } = content;
  for (; length >= 0x80; length = Math.floor(length / 128)) head.push((length & 0x7f) | 0x80);
  head.push(length);
  return joined([new Uint8Array(head), content]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
