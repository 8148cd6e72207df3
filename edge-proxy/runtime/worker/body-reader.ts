/** Reads a body of fetch and hands it over, with pauses. */

export interface BodyReaderOwner {
  /** @param bytes empty with the end */
  onBytes(bytes: Uint8Array, end: boolean): void;
  /** It broke off. */
  onBroken(error: unknown): void;
}

const NOTHING = new Uint8Array(0);

export class BodyReader {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly owner: BodyReaderOwner;
  private paused = false;
  private reading = false;
  private over = false;

  constructor(body: ReadableStream<Uint8Array>, owner: BodyReaderOwner) {
    this.reader = body.getReader();
    this.owner = owner;
  }

  pause(): void {
    this.paused = true;
  }

  /** Begins, or continues. */
  resume(): void {
    this.paused = false;
    void this.read();
  }

  cancel(): void {
    if (this.over) return;
    this.over = true;
    this.reader.cancel().catch(() => {});
  }

  private async read(): Promise<void> {
    if (this.reading || this.over) return;
    this.reading = true;
    try {
      while (!this.paused && !this.over) {
        const { done, value } = await this.reader.read();
        if (this.over) return;
        if (done) this.over = true;
        this.owner.onBytes(value ?? NOTHING, done);
      }
    } catch (error) {
      if (this.over) return;
      this.over = true;
      this.owner.onBroken(error);
    } finally {
      this.reading = false;
    }
  }
}
