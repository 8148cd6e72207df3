/**
 * Joins the data of small chunks that one read brought, so that a body of a million chunks of one byte is passed on, and
 * written, in as many pieces as there were reads.
 */

/** Chunks of this size on are passed on as they are. */
const SMALL = 4096;
/** As much is joined at most. */
const MOST = 16 * 1024;
/** Shared: a joiner holds it between two small chunks of one read, and while what it joined is passed on. */
let spare: Uint8Array | undefined = new Uint8Array(MOST);

export class ChunkJoiner {
  /** The first chunk is not copied: mostly there is one. */
  private first: Uint8Array | undefined = undefined;
  private memory: Uint8Array | undefined = undefined;
  private length = 0;

  /**
   * Adds data of a chunk.
   * @returns false: `pass` must come first, and `bytes` be passed on alone where it is still refused
   */
  add(bytes: Uint8Array): boolean {
    if (bytes.length >= SMALL) return false;
    if (this.first === undefined) {
      this.first = bytes;
      this.length = bytes.length;
      return true;
    }
    if (this.length + bytes.length > MOST) return false;
    if (this.memory === undefined) {
      this.memory = spare ?? new Uint8Array(MOST);
      spare = undefined;
      this.memory.set(this.first);
    }
    this.memory.set(bytes, this.length);
    this.length += bytes.length;
    return true;
  }

  /** Passes on what was added, if anything was. @param take its bytes are valid during the call alone */
  pass(take: (bytes: Uint8Array) => void): void {
    const { first, memory, length } = this;
    if (first === undefined) return;
    this.first = undefined;
    this.memory = undefined;
    try {
      take(memory ? memory.subarray(0, length) : first);
    } finally {
      if (memory) spare = memory;
    }
  }
}
