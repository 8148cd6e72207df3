/** What came of a request's body so far, for sending it, and for sending it again. */
export class BodyBuffer {
  private chunks: Uint8Array[];
  private bytes = 0;
  private readonly limit: number;
  /** It is kept after it was sent, for another attempt. */
  keep = false;
  /** `chunks` is the whole body so far. */
  complete = true;

  /**
   * @param limit bytes that are kept for another attempt
   * @param chunks what came of the body so far, be it longer
   */
  constructor(limit: number, chunks: Uint8Array[] = []) {
    this.limit = limit;
    this.chunks = chunks;
    for (const chunk of chunks) this.bytes += chunk.length;
  }

  get parts(): readonly Uint8Array[] {
    return this.chunks;
  }

  /** The request can be sent once more. */
  get replayable(): boolean {
    return this.complete && this.keep;
  }

  /**
   * @param bytes valid only during the call
   * @param sending they are on their way already
   * @returns `hold`: the client is to wait until they are sent
   */
  add(bytes: Uint8Array, sending: boolean): 'kept' | 'hold' {
    let full = false;
    if (this.bytes + bytes.length > this.limit) {
      if (sending) {
        this.forget();
        return 'kept';
      }
      // Not sent yet: it must be kept, and another attempt is out of the question.
      this.keep = false;
      full = true;
    }
    this.chunks.push(new Uint8Array(bytes));
    this.bytes += bytes.length;
    return full ? 'hold' : 'kept';
  }

  /** Sent, and not needed again. */
  sent(framed: boolean): void {
    if (this.keep) return;
    if (this.bytes > 0 || framed) this.complete = false;
    this.chunks = [];
  }

  /** Nothing will be sent any more. */
  clear(): void {
    this.chunks = [];
  }

  private forget(): void {
    this.complete = false;
    this.chunks = [];
  }
}
