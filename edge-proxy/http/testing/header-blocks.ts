/** Whole header blocks of HTTP/2, for tests. */
import { fromLatin1 } from '../codec/bytes.ts';
import { ByteBuffer } from '../codec/h2/byte-buffer.ts';
import type { Field } from '../codec/h2/fields.ts';
import type { FieldSink, HeaderDecoder, HeaderEncoder } from '../codec/h2/header-block.ts';
import { writeInteger } from '../codec/h2/hpack/primitives.ts';

/** All fields of a block. */
export class FieldList implements FieldSink {
  readonly fields: Field[] = [];

  onField(name: string, value: string): void {
    this.fields.push([name, value]);
  }
}

/** The fields as one block of an encoder. */
export function encodeBlock(encoder: HeaderEncoder, fields: readonly Field[]): Uint8Array {
  const out = new ByteBuffer();
  encoder.begin(out);
  for (const [name, value] of fields) encoder.field(out, name, value);
  return out.bytes.slice(0, out.length);
}

/** The fields as literals without Huffman coding; they may be such as no encoder of ours would write. */
export function literalBlock(fields: readonly Field[]): Uint8Array {
  const out = new ByteBuffer();
  for (const field of fields) {
    out.push(0);
    for (const text of field) {
      writeInteger(out, 0, 7, text.length);
      out.append(fromLatin1(text));
    }
  }
  return out.bytes.slice(0, out.length);
}

/** The fields of a block. @throws as the decoder does */
export function decodeBlock(decoder: HeaderDecoder, block: Uint8Array): Field[] {
  const list = new FieldList();
  decoder.decode(block, 0, block.length, list);
  return list.fields;
}
