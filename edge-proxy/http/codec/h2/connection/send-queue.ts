/** Bytes of one stream that wait for its turn, its window or the connection. */
import { ByteBuffer } from '../byte-buffer.ts';

export class SendQueue {
  private readonly buffer = new ByteBuffer();
  private from = 0;

  get size(): number {
    return this.buffer.length - this.from;
  }

  /** Appends a copy of `bytes[from, …)`. */
  add(bytes: Uint8Array, from: number): void {
    const { buffer } = this;
    if (this.from > buffer.length / 2) {
      buffer.bytes.copyWithin(0, this.from, buffer.length);
      buffer.length -= this.from;
      this.from = 0;
    }
    buffer.append(from === 0 ? bytes : bytes.subarray(from));
  }

  /** The first `count` bytes are `bytes[start, start + count)`; they are taken out. */
  get bytes(): Uint8Array {
    return this.buffer.bytes;
  }

  get start(): number {
    return this.from;
  }

  skip(count: number): void {
    this.from += count;
    if (this.from < this.buffer.length) return;
    this.from = 0;
    this.buffer.length = 0;
  }
}
