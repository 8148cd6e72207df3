/** Bytes handed over as they come, for a body that fetch reads as a stream. */

/** workerd's: a stream whose length is known, so that it is sent with Content-Length. */
type FixedLength = new (bytes: number) => TransformStream<Uint8Array, Uint8Array>;
const { FixedLengthStream } = globalThis as { FixedLengthStream?: FixedLength };

/** Writes that may wait for the reader; beyond that the source is told to pause. */
const MAX_WAITING = 4;

export interface BodyWriterOwner {
  /** There is room, after `write` answered false. */
  onRoom(): void;
  /** Nobody reads any more. */
  onGone(): void;
}

export class BodyWriter {
  readonly readable: ReadableStream<Uint8Array>;
  private readonly owner: BodyWriterOwner;
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  private waiting = 0;
  private full = false;
  private over = false;

  /** @param size bytes of the body; undefined: known at its end only */
  constructor(size: number | undefined, owner: BodyWriterOwner) {
    const pipe = size !== undefined && FixedLengthStream ? new FixedLengthStream(size) : new TransformStream();
    this.readable = pipe.readable;
    this.writer = pipe.writable.getWriter();
    this.owner = owner;
    this.writer.closed.catch(() => this.gone());
  }

  /**
   * @param bytes may change after the call
   * @returns false: wait for `onRoom`
   */
  write(bytes: Uint8Array, end: boolean): boolean {
    if (this.over) return true;
    if (bytes.length > 0) {
      this.waiting++;
      this.writer.write(new Uint8Array(bytes)).then(
        () => this.written(),
        () => this.gone(),
      );
    }
    if (end) {
      this.over = true;
      this.writer.close().catch(() => {});
      return true;
    }
    this.full = this.waiting > MAX_WAITING;
    return !this.full;
  }

  /** The reader sees an error. */
  abort(reason: string): void {
    if (this.over) return;
    this.over = true;
    this.writer.abort(new Error(reason)).catch(() => {});
  }

  private written(): void {
    this.waiting--;
    if (!this.full || this.waiting > 0 || this.over) return;
    this.full = false;
    this.owner.onRoom();
  }

  private gone(): void {
    if (this.over) return;
    this.over = true;
    this.owner.onGone();
  }
}
