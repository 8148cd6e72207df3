/**
 * A connection of any kind as a socket of the kernel: its bytes go through a pair of sockets on loopback. For what a runtime
 * can do with sockets alone: Bun loses the last bytes of TLS over a stream.
 *
 * Another process of the host may find the port: what it is given is only what it sends the pair's secret for.
 */
import type { Connection, ConnectionHandler, DialTarget, Listening, Runtime } from '../runtime.ts';
import { Relay } from './relay.ts';

type Sockets = Pick<Runtime, 'listen' | 'connect'>;

/** The far end of a pair, of which some bytes were read already. */
export interface PairEnd {
  readonly connection: Connection;
  readonly firstBytes: Uint8Array;
}

const SECRET_BYTES = 32;
/** An accepted socket must have sent a secret by then, milliseconds. */
const SECRET_MS = 5000;

export class LoopbackPairs {
  private readonly sockets: Sockets;
  private listening: Promise<Listening> | undefined;
  /** By secret: who waits for the far end. */
  private readonly waiting = new Map<string, (end: PairEnd) => void>();

  /** @param sockets `listen` must accept connections that TLS may follow on */
  constructor(sockets: Sockets) {
    this.sockets = sockets;
  }

  /**
   * @param connection read from and written to by the pair from now on
   * @param firstBytes what was already read from it
   * @returns the far end; rejects where the connection closes before, or there is no loopback
   */
  async join(connection: Connection, firstBytes: Uint8Array): Promise<PairEnd> {
    connection.pause();
    const { port } = await (this.listening ??= this.listen());
    const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
    const key = textOf(secret);
    const { promise, resolve, reject } = Promise.withResolvers<PairEnd>();
    this.waiting.set(key, resolve);
    const relay = new Relay(connection, (error) => {
      this.waiting.delete(key);
      reject(error ?? new Error('the connection was closed'));
    });
    this.sockets.connect({ address: '127.0.0.1', port }, undefined, relay.far, (near) => {
      near.write(secret);
      if (firstBytes.length > 0) near.write(new Uint8Array(firstBytes));
      relay.opened(near);
    });
    return promise;
  }

  /**
   * A socket of this process to `connection`, for a client of TLS: what is dialled is the pair.
   * @param dial dials with what it is given, which goes ahead of TLS
   * @param failed there is no pair, or `connection` closed before
   */
  lead(connection: Connection, dial: (to: DialTarget) => void, failed: (error: Error) => void): void {
    connection.pause();
    (this.listening ??= this.listen()).then(({ port }) => {
      const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
      const key = textOf(secret);
      const relay = new Relay(connection, (error) => {
        this.waiting.delete(key);
        failed(error ?? new Error('the connection was closed'));
      });
      this.waiting.set(key, ({ connection: accepted, firstBytes }) => {
        accepted.handler = relay.far;
        connection.write(firstBytes);
        relay.opened(accepted);
        accepted.resume();
      });
      dial({ address: '127.0.0.1', port, preface: () => secret });
    }, failed);
  }

  private listen(): Promise<Listening> {
    const listening = this.sockets.listen({ address: '127.0.0.1', port: 0 }, (accepted) => this.take(accepted));
    listening.catch(() => {
      this.listening = undefined;
    });
    return listening;
  }

  private take(accepted: Connection): void {
    let received = new Uint8Array(0);
    const timer = setTimeout(() => accepted.destroy(), SECRET_MS);
    const handler: ConnectionHandler = {
      onData: (bytes) => {
        const all = new Uint8Array(received.length + bytes.length);
        all.set(received);
        all.set(bytes, received.length);
        received = all;
        if (received.length < SECRET_BYTES) return;
        clearTimeout(timer);
        const key = textOf(received.subarray(0, SECRET_BYTES));
        const taker = this.waiting.get(key);
        this.waiting.delete(key);
        if (taker) this.hand(accepted, received.subarray(SECRET_BYTES), taker);
        else accepted.destroy();
      },
      onDrain() {},
      onEnd: () => accepted.destroy(),
      onClose: () => clearTimeout(timer),
    };
    accepted.handler = handler;
  }

  /** Once there are bytes behind the secret: a handshake begins with them. */
  private hand(connection: Connection, rest: Uint8Array, taker: (end: PairEnd) => void): void {
    if (rest.length > 0) {
      connection.pause();
      taker({ connection, firstBytes: rest });
      return;
    }
    connection.handler = {
      onData: (bytes) => this.hand(connection, new Uint8Array(bytes), taker),
      onDrain() {},
      onEnd: () => connection.destroy(),
      onClose() {},
    };
  }
}

function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
