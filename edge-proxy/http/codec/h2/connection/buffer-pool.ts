/** Memory for bytes on their way out, which all connections share: one that has nothing to write holds none. */
import { ByteBuffer } from '../byte-buffer.ts';

/** Pieces that are kept, and how large they may be. */
const MOST_FREE = 64;
const LARGEST_KEPT = 128 * 1024;
const free: PooledBuffer[] = [];

/** Memory, and what its connection notes of it when it hands it on. */
export class PooledBuffer extends ByteBuffer {
  /** Bytes that the connection was handed, these included. */
  end = 0;
  /** Frames of any kind, and those that count as control frames. */
  frames = 0;
  controlFrames = 0;
}

/** @returns an empty buffer */
export function takeBuffer(): PooledBuffer {
  return free.pop() ?? new PooledBuffer();
}

/** @param buffer whose bytes are read no more */
export function giveBack(buffer: PooledBuffer): void {
  buffer.length = 0;
  if (free.length < MOST_FREE && buffer.bytes.length <= LARGEST_KEPT) free.push(buffer);
}
