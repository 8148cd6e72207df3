/** Reads messages in protobuf's binary form (protobuf.dev/programming-guides/encoding). */

const NONE = new Uint8Array(0);
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * One field of a message. `bytes` is the content of one that is length-delimited or of fixed size; `value` is the number of
 * a varint, which is exact up to 2^53.
 */
export type TakeField = (field: number, bytes: Uint8Array, value: number) => void;

/** @throws Error where it is no message; groups are not supported */
export function readFields(message: Uint8Array, take: TakeField): void {
  const reader = { bytes: message, at: 0 };
  while (reader.at < message.length) {
    const tag = varint(reader);
    const field = Math.floor(tag / 8);
    if (field === 0) throw new Error('a field has the number 0');
    switch (tag % 8) {
      case 0:
        take(field, NONE, varint(reader));
        break;
      case 1:
        take(field, part(reader, 8), 0);
        break;
      case 2:
        take(field, part(reader, varint(reader)), 0);
        break;
      case 5:
        take(field, part(reader, 4), 0);
        break;
      default:
        throw new Error(`wire type ${tag % 8} is not supported`);
    }
  }
}

/** @throws where it is not UTF-8 */
export function readText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

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

function part(reader: Reader, length: number): Uint8Array {
  const from = reader.at;
  if (length > reader.bytes.length - from) throw new Error('the message ends inside a field');
  reader.at += length;
  return reader.bytes.subarray(from, reader.at);
}
