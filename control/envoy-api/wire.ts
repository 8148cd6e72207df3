/** The outer fields of protobuf messages whose inner ones are encoded already (protobuf.dev: "Encoding"). */

/** Bytes in parts that are to be sent one after the other. */
export type Parts = readonly Uint8Array[];

const LENGTH_DELIMITED = 2;

export function sizeOf(parts: Parts): number {
  let size = 0;
  for (const part of parts) size += part.length;
  return size;
}

/** A field that holds bytes or a message. */
export function field(number: number, content: Parts): Uint8Array[] {
  return [Uint8Array.from([...varint(number * 8 + LENGTH_DELIMITED), ...varint(sizeOf(content))]), ...content];
}

/** A text; an empty one is not written. */
export function textField(number: number, text: string): Uint8Array[] {
  return text === '' ? [] : field(number, [Buffer.from(text)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  bytes.push(rest);
  return bytes;
}
