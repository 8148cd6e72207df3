/** The bytes of one connection and of another, both ways, with each one's pace and end. */
import type { Connection, ConnectionHandler } from '../runtime.ts';

export class Relay {
  /** Events of the second connection, from its dial on. */
  readonly far: ConnectionHandler;
  private readonly near: Connection;
  private other: Connection | undefined;
  private nearEnded = false;
  private farEnded = false;
  private over = false;

  /**
   * @param near paused until the other is there; its events are taken over
   * @param failed one of them closed before the other was there
   */
  constructor(near: Connection, failed: (error: Error | undefined) => void) {
    this.near = near;
    const lost = (error: Error | undefined) => {
      if (this.other === undefined) failed(error);
      this.close(error);
    };
    near.handler = {
      onData: (bytes) => {
        if (!this.other?.write(bytes)) near.pause();
      },
      onDrain: () => this.other?.resume(),
      onEnd: () => {
        this.nearEnded = true;
        this.other?.end();
      },
      onClose: lost,
    };
    this.far = {
      onData: (bytes) => {
        if (!near.write(bytes)) this.other?.pause();
      },
      onDrain: () => near.resume(),
      onEnd: () => {
        this.farEnded = true;
        near.end();
      },
      onClose: lost,
    };
  }

  opened(other: Connection): void {
    if (this.over) {
      other.destroy();
      return;
    }
    this.other = other;
    if (this.nearEnded) other.end();
    this.near.resume();
  }

  /** After an orderly end both close by themselves, once they have sent everything. */
  private close(error: Error | undefined): void {
    if (this.over) return;
    if (!error && this.nearEnded && this.farEnded) return;
    this.over = true;
    this.near.destroy(error);
    this.other?.destroy(error);
  }
}
