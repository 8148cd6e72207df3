/** Memory for bytes on their way out, which all connections share: one that has nothing to write holds none. */
import { ByteBuffer } from '../byte-buffer.ts';

/** Pieces that are kept, and how large they may be. */
const MOST_FREE = 64;
const LARGEST_KEPT = 128 * 1024;
const free: ByteBuffer[] = [];

/** @returns an empty buffer */
export function takeBuffer(): ByteBuffer {
  return free.pop() ?? new ByteBuffer();
}

/** @param buffer whose bytes are read no more */
export function giveBack(buffer: ByteBuffer): void {
  buffer.length = 0;
  if (free.length < MOST_FREE && buffer.bytes.length <= LARGEST_KEPT) free.push(buffer);
}
