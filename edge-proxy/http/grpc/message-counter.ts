/** Follows gRPC messages in a stream of bytes, without keeping any of them. */

/** A flag and the length, four bytes with the highest first. */
export const MESSAGE_HEAD = 5;

export class MessageCounter {
  /** Messages that have begun. */
  count = 0;
  /** Bytes of the present message's head that have come; 0: the next byte begins a message, or follows a head. */
  private head = 0;
  private length = 0;
  /** Bytes of the present message that are still to come, once its head is there. */
  private left = 0;

  /** Between two messages. */
  get atBoundary(): boolean {
    return this.head === 0 && this.left === 0;
  }

  /** @param bytes the next bytes of the stream */
  take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at = this.advance(bytes, at);
  }

  /**
   * Follows the stream to the end of a message, or of the bytes. @param at the first byte that was not followed yet, below
   * the length @returns the first that follows
   */
  advance(bytes: Uint8Array, at: number): number {
    let next = at;
    while (next < bytes.length) {
      if (this.left > 0) {
        const step = Math.min(this.left, bytes.length - next);
        this.left -= step;
        next += step;
      } else this.takeHead(bytes[next++]!);
      if (this.atBoundary) return next;
    }
    return next;
  }

  private takeHead(byte: number): void {
    if (this.head === 0) {
      this.count++;
      this.length = 0;
    } else this.length = this.length * 256 + byte;
    if (++this.head < MESSAGE_HEAD) return;
    this.head = 0;
    this.left = this.length;
  }
}
