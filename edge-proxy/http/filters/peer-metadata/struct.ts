/**
 * google.protobuf.Struct in protobuf's binary form, as far as workload metadata has it: texts, and structs of texts
 * (protobuf.dev/programming-guides/encoding, google/protobuf/struct.proto).
 */

import { readFields } from '../../../protobuf/reader.ts';

export type StructFields = ReadonlyMap<string, string | ReadonlyMap<string, string>>;

/** Entries of all levels: more than any proxy sends. */
const MAX_ENTRIES = 256;
/** Numbers of fields; all that are read are length-delimited. */
const FIELDS_ENTRY = 1;
const ENTRY_KEY = 1;
const ENTRY_VALUE = 2;
const VALUE_STRING = 3;
const VALUE_STRUCT = 5;

const LENGTH_DELIMITED = 2;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Values of other types, and structs inside of structs, are left out. @throws Error where it is no Struct */
export function decodeStruct(bytes: Uint8Array): StructFields {
  const limits = { entries: MAX_ENTRIES };
  const out = new Map<string, string | ReadonlyMap<string, string>>();
  readEntries(bytes, limits, (key, value, isStruct) => {
    if (!isStruct) {
      out.set(key, decoder.decode(value));
      return;
    }
    const inner = new Map<string, string>();
    readEntries(value, limits, (name, text, nested) => {
      if (!nested) inner.set(name, decoder.decode(text));
    });
    out.set(key, inner);
  });
  return out;
}

type TakeEntry = (key: string, value: Uint8Array, isStruct: boolean) => void;

function readEntries(bytes: Uint8Array, limits: { entries: number }, take: TakeEntry): void {
  readFields(bytes, (tag, entry) => {
    if (tag !== FIELDS_ENTRY) return;
    if (limits.entries-- === 0) throw new Error(`a Struct has more than ${MAX_ENTRIES} entries`);
    let key = '';
    let value: Uint8Array | undefined;
    readFields(entry, (part, content) => {
      if (part === ENTRY_KEY) key = decoder.decode(content);
      else if (part === ENTRY_VALUE) value = content;
    });
    if (value === undefined) return;
    // Of a oneof the last counts.
    let kind = 0;
    let held = value;
    readFields(value, (part, content) => {
      kind = part;
      held = content;
    });
    if (kind === VALUE_STRING || kind === VALUE_STRUCT) take(key, held, kind === VALUE_STRUCT);
  });
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

function delimited(field: number, content: Uint8Array): Uint8Array {
  const head = [field * 8 + LENGTH_DELIMITED];
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
