/**
 * How a server ends a connection without losing a request (RFC 9113 section 6.8): a GOAWAY that names no stream, then, once
 * the client has had time to read it, one that names the last stream that is served.
 */
import { ERROR_CODES } from '../error.ts';
import { LARGEST_WINDOW } from '../frames.ts';

/** The payload of the PING whose acknowledgement shows that the client has read the first GOAWAY. */
const PAYLOAD = Uint8Array.of(0x74, 0x75, 0x6c, 0x6c, 0x65, 0x64, 0x72, 0);

/** The connection that drains. */
export interface Draining {
  sendGoaway(lastStream: number, code: number): void;
  sendPing(payload: Uint8Array): void;
  /** The time for further streams is over: names the last stream, and closes when none is open. */
  onLastStream(): void;
}

export class GracefulDrain {
  private readonly connection: Draining;
  private readonly timer: ReturnType<typeof setTimeout>;
  private over = false;

  /** @param limitMs how long a client that does not answer is waited for */
  constructor(connection: Draining, limitMs: number) {
    this.connection = connection;
    connection.sendGoaway(LARGEST_WINDOW, ERROR_CODES.NO_ERROR);
    connection.sendPing(PAYLOAD);
    this.timer = setTimeout(() => this.finish(), limitMs);
  }

  /** No further stream is taken. */
  get final(): boolean {
    return this.over;
  }

  /** @param bytes eight of them, from `at` on, are the payload of a PING that was acknowledged */
  onPingAck(bytes: Uint8Array, at: number): void {
    for (let i = 0; i < PAYLOAD.length; i++) if (bytes[at + i] !== PAYLOAD[i]) return;
    this.finish();
  }

  private finish(): void {
    if (this.over) return;
    this.stop();
    this.connection.onLastStream();
  }

  stop(): void {
    this.over = true;
    clearTimeout(this.timer);
  }
}
