/** google.protobuf.Struct (google/protobuf/struct.proto) between plain values and protobuf's binary form. */
import { readFields, readText } from './reader.ts';
import type { ProtoWriter } from './writer.ts';

export type StructValue = null | number | string | boolean | StructValue[] | { [key: string]: StructValue };

/** Values of all levels, and levels: more than a service has to say of one request. */
const MAX_VALUES = 2000;
const MAX_DEPTH = 16;

/** Fields of values that Struct has no form for are left out. */
export function writeStruct(writer: ProtoWriter, fields: Readonly<Record<string, unknown>>): void {
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    if (value !== undefined && typeof value !== 'function')
      writer.entry(1, key, (entry) => entry.message(2, (one) => writeValue(one, value)));
  }
}

function writeValue(writer: ProtoWriter, value: unknown): void {
  if (typeof value === 'number') writer.double(2, value);
  else if (typeof value === 'string') writeString(writer, value);
  else if (typeof value === 'boolean') writer.member(4, value ? 1 : 0);
  else if (Array.isArray(value))
    writer.message(6, (list) => {
      for (const item of value) list.message(1, (one) => writeValue(one, item));
    });
  else if (typeof value === 'object' && value !== null)
    writer.message(5, (inner) => writeStruct(inner, value as Record<string, unknown>));
  else writer.member(1, 0);
}

/** An empty text is a value, too: the field must be there. */
function writeString(writer: ProtoWriter, value: string): void {
  if (value === '') writer.message(3, () => {});
  else writer.text(3, value);
}

/** @throws Error where it is no Struct, or has too many values or levels */
export function readStruct(bytes: Uint8Array): Record<string, StructValue> {
  return structAt(bytes, { values: MAX_VALUES }, MAX_DEPTH);
}

interface Budget {
  values: number;
}

function structAt(bytes: Uint8Array, budget: Budget, depth: number): Record<string, StructValue> {
  // No prototype: a key may be `__proto__`.
  const out = Object.create(null) as Record<string, StructValue>;
  readFields(bytes, (field, entry) => {
    if (field !== 1) return;
    let key = '';
    let value: Uint8Array = new Uint8Array(0);
    readFields(entry, (part, content) => {
      if (part === 1) key = readText(content);
      else if (part === 2) value = content;
    });
    out[key] = valueAt(value, budget, depth);
  });
  return out;
}

/** Of a oneof the last field counts. */
function valueAt(bytes: Uint8Array, budget: Budget, depth: number): StructValue {
  if (budget.values-- === 0) throw new Error(`a Struct has more than ${MAX_VALUES} values`);
  if (depth === 0) throw new Error(`a Struct has more than ${MAX_DEPTH} levels`);
  let out: StructValue = null;
  readFields(bytes, (field, content, value) => {
    if (field === 1) out = null;
    else if (field === 2) out = doubleOf(content);
    else if (field === 3) out = readText(content);
    else if (field === 4) out = value !== 0;
    else if (field === 5) out = structAt(content, budget, depth - 1);
    else if (field === 6) out = listAt(content, budget, depth - 1);
  });
  return out;
}

function listAt(bytes: Uint8Array, budget: Budget, depth: number): StructValue[] {
  const out: StructValue[] = [];
  readFields(bytes, (field, content) => {
    if (field === 1) out.push(valueAt(content, budget, depth));
  });
  return out;
}

function doubleOf(bytes: Uint8Array): number {
  if (bytes.length !== 8) throw new Error('a number_value is not a double');
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
}
