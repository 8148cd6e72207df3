/** A Connection as a node:stream, for node:tls to terminate TLS on a connection that is no net.Socket. */
import { Duplex } from 'node:stream';
import type { Connection, ConnectionHandler } from './runtime.ts';

/** After both sides have ended: for so long what is queued below may take to go out, milliseconds. */
const LINGER_MS = 60_000;

export class ConnectionStream extends Duplex {
  private readonly connection: Connection;
  private flushed: ((error?: Error) => void) | undefined;
  /** `connection.end` was called: the connection closes by itself once everything is sent and the peer has ended. */
  private finished = false;
  private peerEnded = false;

  /** Takes the connection's events over. @param firstBytes what was already read from it */
  constructor(connection: Connection, firstBytes: Uint8Array) {
    super({ allowHalfOpen: true });
    this.connection = connection;
    if (firstBytes.length > 0) this.push(firstBytes);
    connection.handler = {
      onData: (bytes) => {
        if (!this.push(bytes)) connection.pause();
      },
      onDrain: () => this.settleWrite(),
      onEnd: () => {
        this.peerEnded = true;
        this.push(null);
      },
      onClose: (error) => this.onClosed(error),
    };
  }

  /** What was pushed before an orderly close is still read: the stream ends behind it. */
  private onClosed(error: Error | undefined): void {
    if (error || !this.peerEnded) this.destroy(error);
    this.settleWrite(error ?? (this.finished ? undefined : new Error('the connection was closed')));
  }

  private settleWrite(error?: Error): void {
    const done = this.flushed;
    this.flushed = undefined;
    done?.(error);
  }

  override _read(): void {
    this.connection.resume();
  }

  override _write(bytes: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    if (this.connection.write(bytes)) done();
    else this.flushed = done;
  }

  override _final(done: () => void): void {
    this.finish();
    done();
  }

  private finish(): void {
    this.finished = true;
    this.connection.end();
  }

  /** Destroying a connection drops what it has queued: one that was ended in order closes by itself instead. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // Deno closes a stream below TLS without ending it.
    if (!error && !this.finished && this.peerEnded) this.finish();
    if (error || !this.finished) this.connection.destroy(error ?? undefined);
    else closeWhenSent(this.connection);
    done(error);
  }
}

/** Reads on, so that the end of the peer is seen; a peer that does not end, or does not take what is queued, is cut off. */
function closeWhenSent(connection: Connection): void {
  const timer = setTimeout(() => connection.destroy(), LINGER_MS);
  const handler: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose: () => clearTimeout(timer) };
  connection.handler = handler;
  connection.resume();
}
