/** A Connection over net.Socket or tls.TLSSocket: the same code on Node, Bun and Deno. */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { Connection, ConnectionHandler, TlsInfo } from './runtime.ts';

/** What differs between the runtimes. */
export interface Quirks {
  /** Stops, or lets go on, the kernel reads below a server TLS socket whose own pause() does not (Deno). */
  /** Why cipher suites and curves cannot be chosen (Deno reads neither); undefined: they can. */
  readonly fixedCiphers?: string;
  readonly holdRaw?: (raw: Socket, hold: boolean) => void;
}

/** Bodies up to this size are copied behind their head. */
const JOIN_BELOW = 32 * 1024;

const CONNECTION = Symbol('connection');
type OwnedSocket = Socket & { [CONNECTION]?: SocketConnection };

/** Before the owner has set its handler, and after close: takes nothing, answers a FIN with a FIN. */
const IDLE: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

export class SocketConnection implements Connection {
  /** Read on every event; `handler` is its public face. */
  current: ConnectionHandler = IDLE;
  gone: (() => void) | undefined;
  remoteAddress: string;
  remotePort: number;
  localAddress: string;
  localPort: number;
  tls: TlsInfo | undefined;
  readonly socket: OwnedSocket;
  /** The socket below a server TLS socket. */
  readonly raw: Socket | undefined;
  private readonly quirks: Quirks;
  private failure: Error | undefined;
  private closed = false;
  private finished = false;
  private started = false;

  constructor(socket: Socket, quirks: Quirks, tls: TlsInfo | undefined, below: SocketConnection | undefined) {
    this.socket = socket;
    this.quirks = quirks;
    this.tls = tls;
    this.raw = below?.socket;
    this.remoteAddress = below?.remoteAddress ?? plainAddress(socket.remoteAddress);
    this.remotePort = below?.remotePort ?? socket.remotePort ?? 0;
    this.localAddress = below?.localAddress ?? plainAddress(socket.localAddress);
    this.localPort = below?.localPort ?? socket.localPort ?? 0;
    this.socket[CONNECTION] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
  }

  get handler(): ConnectionHandler {
    return this.current;
  }

  /** Bytes flow from the moment there is someone to take them: none is lost between accept and the first handler. */
  set handler(handler: ConnectionHandler) {
    this.current = handler;
    if (!this.started && !this.dialling) this.start();
  }

  /** A dialled socket before its connect or handshake: data must wait for the peer's judgement. */
  dialling = false;

  private start(): void {
    this.started = true;
    this.socket.on('data', onData);
    this.socket.on('drain', onDrain);
    this.socket.on('end', onEnd);
  }

  /** Those of the connection below a TLS socket that knows none. */
  takeAddresses(below: Connection): void {
    this.remoteAddress = below.remoteAddress;
    this.remotePort = below.remotePort;
    this.localAddress = below.localAddress;
    this.localPort = below.localPort;
  }

  /** Addresses of a dialled socket are known only now. */
  opened(tls: TlsInfo | undefined): void {
    this.tls = tls;
    this.remoteAddress = plainAddress(this.socket.remoteAddress);
    this.remotePort = this.socket.remotePort ?? 0;
    this.localAddress = plainAddress(this.socket.localAddress);
    this.localPort = this.socket.localPort ?? 0;
    this.dialling = false;
    this.start();
  }

  /** Gives the socket away (a TLS server takes over); this connection is finished without an onClose. */
  release(): Socket {
    this.closed = true;
    this.current = IDLE;
    const socket = this.socket;
    delete socket[CONNECTION];
    socket.pause();
    socket.off('data', onData);
    socket.off('drain', onDrain);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    // The error listener stays: an error between two owners must not end the process.
    return socket;
  }

  get buffered(): number {
    return this.closed ? 0 : this.socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed || this.finished) return true;
    return this.socket.write(bytes);
  }

  writeLatin1(text: string): boolean {
    if (this.closed || this.finished) return true;
    return this.socket.write(text, 'latin1');
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    if (this.closed || this.finished) return true;
    const { socket } = this;
    const { length } = text;
    if (bytes.length > JOIN_BELOW) {
      socket.cork();
      socket.write(text, 'latin1');
      const room = socket.write(bytes);
      socket.uncork();
      return room;
    }
    // One buffer is one write of the runtime: cheaper than gathering two.
    const whole = Buffer.allocUnsafe(length + bytes.length);
    whole.write(text, 0, 'latin1');
    whole.set(bytes, length);
    return socket.write(whole);
  }

  end(): void {
    if (this.closed || this.finished) return;
    this.finished = true;
    this.socket.end();
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.failure ??= error;
    // RST when something is abandoned; an orderly close of an idle connection stays a FIN.
    const abandons = error !== undefined || this.socket.writableLength > 0;
    if (abandons && !this.raw && !this.tls && !this.dialling) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  pause(): void {
    if (this.closed) return;
    this.socket.pause();
    if (this.raw) this.quirks.holdRaw?.(this.raw, true);
  }

  resume(): void {
    if (this.closed) return;
    if (this.raw) this.quirks.holdRaw?.(this.raw, false);
    this.socket.resume();
  }

  /** A fault in a handler costs its connection, not the process. */
  guard(error: unknown): void {
    this.destroy(error instanceof Error ? error : new Error(String(error)));
  }

  fail(error: Error): void {
    this.failure ??= error;
  }

  finish(): void {
    if (this.closed) return;
    this.closed = true;
    const handler = this.current;
    this.current = IDLE;
    handler.onClose(this.failure);
    this.gone?.();
  }
}

function onData(this: OwnedSocket, bytes: Uint8Array): void {
  const connection = this[CONNECTION];
  if (!connection) return;
  try {
    connection.current.onData(bytes);
  } catch (error) {
    connection.guard(error);
  }
}

function onDrain(this: OwnedSocket): void {
  const connection = this[CONNECTION];
  if (!connection) return;
  try {
    connection.current.onDrain();
  } catch (error) {
    connection.guard(error);
  }
}

function onEnd(this: OwnedSocket): void {
  const connection = this[CONNECTION];
  if (!connection) return;
  if (connection.current === IDLE) {
    connection.end();
    return;
  }
  try {
    connection.current.onEnd();
  } catch (error) {
    connection.guard(error);
  }
}

function onError(this: OwnedSocket, error: Error): void {
  const connection = this[CONNECTION];
  if (!connection) return;
  connection.fail(error);
  // Deno and Bun do not always follow an error with a close.
  this.destroy();
}

function onClose(this: OwnedSocket): void {
  this[CONNECTION]?.finish();
}

/** `::ffff:10.0.0.1` is 10.0.0.1: policies and logs name addresses in one form. */
function plainAddress(address: string | undefined): string {
  if (!address) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
