/** A Connection as a node:stream, for node:tls to terminate TLS on a connection that is no net.Socket. */
import { Duplex } from 'node:stream';
import type { Connection } from './runtime.ts';

export class ConnectionStream extends Duplex {
  private readonly connection: Connection;
  private flushed: (() => void) | undefined;

  /** Takes the connection's events over. @param firstBytes what was already read from it */
  constructor(connection: Connection, firstBytes: Uint8Array) {
    super({ allowHalfOpen: true });
    this.connection = connection;
    if (firstBytes.length > 0) this.push(firstBytes);
    connection.handler = {
      onData: (bytes) => {
        if (!this.push(bytes)) connection.pause();
      },
      onDrain: () => {
        const done = this.flushed;
        this.flushed = undefined;
        done?.();
      },
      onEnd: () => this.push(null),
      onClose: (error) => this.destroy(error),
    };
  }

  override _read(): void {
    this.connection.resume();
  }

  override _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    if (this.connection.write(bytes)) done();
    else this.flushed = done;
  }

  override _final(done: () => void): void {
    this.connection.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.connection.destroy(error ?? undefined);
    done(error);
  }
}
