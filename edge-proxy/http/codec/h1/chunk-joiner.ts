/**
 * Joins the data of small chunks that one read brought, so that a body of a million chunks of one byte is passed on, and
 * written, in as many pieces as there were reads.
 */

/** Chunks of this size on are passed on as they are. */
const SMALL = 4096;
/** As much is joined at most. */
const MOST = 16 * 1024;
/** Chunks up to this size are copied byte by byte: cheaper than a view of them. */
const TINY = 32;
/** Shared: a joiner holds it between two small chunks of one read. */
let spare: Uint8Array | undefined = new Uint8Array(MOST);

export class ChunkJoiner {
  /** The first chunk is not copied: mostly there is one. */
  private first: Uint8Array | undefined = undefined;
  private memory: Uint8Array | undefined = undefined;
  private length = 0;

  /**
   * Adds data of a chunk, `bytes[from, to)`.
   * @returns false: `pass` must come first, and the data be passed on alone where it is still refused
   */
  add(bytes: Uint8Array, from: number, to: number): boolean {
    const size = to - from;
    if (size >= SMALL) return false;
    if (this.first === undefined) {
      this.first = bytes.subarray(from, to);
      this.length = size;
      return true;
    }
    if (this.length + size > MOST) return false;
    const memory = this.memory ?? this.takeMemory(this.first);
    if (size > TINY) memory.set(bytes.subarray(from, to), this.length);
    else for (let at = from, place = this.length; at < to; at++, place++) memory[place] = bytes[at]!;
    this.length += size;
    return true;
  }

  private takeMemory(first: Uint8Array): Uint8Array {
    const memory = spare ?? new Uint8Array(MOST);
    spare = undefined;
    memory.set(first);
    this.memory = memory;
    return memory;
  }

  /**
   * Passes on what was added, if anything was.
   * @param take is given joined bytes in memory of their own, which a write that waits may keep; those of one chunk as read
   */
  pass(take: (bytes: Uint8Array) => void): void {
    const { first, memory, length } = this;
    if (first === undefined) return;
    this.first = undefined;
    this.memory = undefined;
    if (memory === undefined) {
      take(first);
      return;
    }
    spare = memory;
    take(memory.slice(0, length));
  }
}
