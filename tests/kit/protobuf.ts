/** Protobuf's binary form by tables of fields, for servers of tests: independent of the code that proxies have. */

export type Kind = 'string' | 'bytes' | 'int' | 'bool' | 'double' | Message;
/** Name and kind by field number; `many`: repeated; `map`: a map from texts. */
export type Message = { readonly [field: number]: readonly [name: string, kind: () => Kind, form?: 'many' | 'map'] };

type Value = string | number | boolean | Uint8Array | Fields | Value[];
export interface Fields {
  [name: string]: Value;
}

export function encode(message: Message, fields: Fields): Buffer {
  const out: Buffer[] = [];
  for (const [number, [name, kind, form]] of Object.entries(message)) {
    const value = fields[name];
    if (value === undefined) continue;
    if (form === 'map')
      for (const [key, item] of Object.entries(value as Fields)) {
        const entry = Buffer.concat([field(1, 'string', key), field(2, kind(), item)]);
        out.push(Buffer.concat([varint(Number(number) * 8 + 2), varint(entry.length), entry]));
      }
    else
      for (const item of form === 'many' ? (value as Value[]) : [value]) out.push(field(Number(number), kind(), item));
  }
  return Buffer.concat(out);
}

function field(number: number, kind: Kind, value: Value): Buffer {
  if (kind === 'int' || kind === 'bool') return Buffer.concat([varint(number * 8), varint(Number(value))]);
  if (kind === 'double') {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value as number);
    return Buffer.concat([varint(number * 8 + 1), bytes]);
  }
  const content =
    kind === 'string'
      ? Buffer.from(value as string)
      : kind === 'bytes'
        ? Buffer.from(value as Uint8Array)
        : encode(kind, value as Fields);
  return Buffer.concat([varint(number * 8 + 2), varint(content.length), content]);
}

function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return Buffer.from([...out, Number(rest)]);
}

/** Bytes are given in base64. @throws for a field that the table does not have */
export function decode(message: Message, bytes: Buffer): Fields {
  const out: Fields = {};
  for (let at = 0; at < bytes.length; ) {
    const [tag, next] = readVarint(bytes, at);
    at = next;
    const known = message[Math.floor(tag / 8)];
    if (!known) throw new Error(`field ${Math.floor(tag / 8)} is not in the table`);
    const [name, kind, form] = known;
    let value: Value;
    if (tag % 8 === 0) {
      const [number, end] = readVarint(bytes, at);
      at = end;
      value = kind() === 'bool' ? number !== 0 : number;
    } else if (tag % 8 === 1) {
      value = bytes.readDoubleLE(at);
      at += 8;
    } else {
      const [length, start] = readVarint(bytes, at);
      at = start + length;
      const content = bytes.subarray(start, at);
      if (form === 'map') {
        const entry = decode({ 1: ['key', () => 'string'], 2: ['value', kind] }, content);
        const map = (out[name] ??= {}) as Fields;
        map[String(entry['key'] ?? '')] = entry['value'] ?? '';
        continue;
      }
      const is = kind();
      value =
        is === 'string'
          ? content.toString('utf8')
          : is === 'bytes'
            ? content.toString('base64')
            : decode(is as Message, content);
    }
    if (form === 'many') ((out[name] ??= []) as Value[]).push(value);
    else out[name] = value;
  }
  return out;
}

function readVarint(bytes: Buffer, from: number): [number, number] {
  let value = 0n;
  let at = from;
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++]!;
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return [Number(value), at];
  }
}
