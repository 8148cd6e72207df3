/** Writes messages in protobuf's binary form (protobuf.dev/programming-guides/encoding). */

const encoder = new TextEncoder();
const START = 512;

/** Fields are written in the order of the calls; defaults of proto3 (0, '', empty bytes) are left out. */
export class ProtoWriter {
  private bytes = new Uint8Array(START);
  private at = 0;

  /** Unicode text. */
  text(field: number, value: string): void {
    if (value !== '') this.raw(field, encoder.encode(value));
  }

  /** Text of one character a byte, as fields of HTTP messages are kept. */
  latin1(field: number, value: string): void {
    const { length } = value;
    if (length === 0) return;
    this.head(field, 2);
    this.varint(length);
    this.reserve(length);
    const { bytes, at } = this;
    for (let i = 0; i < length; i++) bytes[at + i] = value.charCodeAt(i);
    this.at += length;
  }

  blob(field: number, value: Uint8Array): void {
    if (value.length > 0) this.raw(field, value);
  }

  /** @param value an integer from 0 to 2^53 - 1 */
  uint(field: number, value: number): void {
    if (value === 0) return;
    this.head(field, 0);
    this.varint(value);
  }

  /** Written even where it is 0: of a oneof the field that is there counts. */
  member(field: number, value: number): void {
    this.head(field, 0);
    this.varint(value);
  }

  /** Written even where it is 0. */
  double(field: number, value: number): void {
    this.head(field, 1);
    this.reserve(8);
    new DataView(this.bytes.buffer).setFloat64(this.at, value, true);
    this.at += 8;
  }

  /** A message, written even where it has no fields. @param fill writes its fields */
  message(field: number, fill: (writer: ProtoWriter) => void): void {
    this.head(field, 2);
    // Most messages are shorter than 128 bytes: their length takes the one byte that is kept free for it.
    this.reserve(1);
    const lengthAt = this.at++;
    fill(this);
    const length = this.at - lengthAt - 1;
    const extra = varintSize(length) - 1;
    if (extra > 0) {
      this.reserve(extra);
      this.bytes.copyWithin(lengthAt + 1 + extra, lengthAt + 1, this.at);
    }
    this.at = lengthAt;
    this.varint(length);
    this.at += length;
  }

  /** An entry of a map from texts. */
  entry(field: number, key: string, fill: (writer: ProtoWriter) => void): void {
    this.message(field, (entry) => {
      entry.text(1, key);
      fill(entry);
    });
  }

  /** @returns the message; the writer is not used again */
  finish(): Uint8Array {
    return this.bytes.subarray(0, this.at);
  }

  private raw(field: number, value: Uint8Array): void {
    this.head(field, 2);
    this.varint(value.length);
    this.reserve(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  private head(field: number, wireType: number): void {
    this.varint(field * 8 + wireType);
  }

  private varint(value: number): void {
    this.reserve(10);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.bytes[this.at++] = (rest % 128) | 0x80;
    this.bytes[this.at++] = rest;
  }

  private reserve(count: number): void {
    const needed = this.at + count;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) size++;
  return size;
}
