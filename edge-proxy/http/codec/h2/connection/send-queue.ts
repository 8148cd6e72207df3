/** Bytes of one stream that wait for its turn, its window or the connection. */
import { giveBack, type PooledBuffer, takeBuffer } from './buffer-pool.ts';

const PIECE = 64 * 1024;

export class SendQueue {
  /** Each holds PIECE bytes but for the last. */
  private readonly pieces: PooledBuffer[] = [];
  /** Bytes of the first piece that were taken out. */
  private from = 0;
  size = 0;

  /** Appends a copy of `bytes[from, …)`. */
  add(bytes: Uint8Array, from: number): void {
    const { pieces } = this;
    this.size += bytes.length - from;
    for (let at = from; at < bytes.length; ) {
      let last = pieces[pieces.length - 1];
      if (last === undefined || last.length === PIECE) {
        last = takeBuffer();
        pieces.push(last);
      }
      const end = Math.min(bytes.length, at + PIECE - last.length);
      last.append(bytes.subarray(at, end));
      at = end;
    }
  }

  /** The memory of the bytes that come first: `bytes[start, end)`. */
  get bytes(): Uint8Array {
    return this.pieces[0]!.bytes;
  }

  get start(): number {
    return this.from;
  }

  get end(): number {
    return this.pieces[0]!.length;
  }

  /** Takes out bytes that come first, at most up to `end`. */
  skip(count: number): void {
    this.from += count;
    this.size -= count;
    if (this.from < this.end) return;
    this.from = 0;
    giveBack(this.pieces.shift()!);
  }

  clear(): void {
    for (const piece of this.pieces.splice(0)) giveBack(piece);
    this.size = 0;
  }
}
