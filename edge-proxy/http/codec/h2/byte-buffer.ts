/** Memory that frames are written into: it grows, and is used again once its bytes were handed on. */

const FIRST_SIZE = 1024;

export class ByteBuffer {
  bytes: Uint8Array = new Uint8Array(FIRST_SIZE);
  /** Bytes that are in use, from 0 on. */
  length = 0;

  /** Makes room for `count` more bytes behind `length`. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  push(byte: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  /** Appends a copy. */
  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}
