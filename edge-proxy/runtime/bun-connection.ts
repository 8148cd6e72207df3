/**
 * A plaintext Connection on Bun's own sockets, which cost a third less than node:net there. `write` of such a socket
 * takes what the kernel takes; the rest is queued here and goes out on `drain`.
 */
import { Buffer } from 'node:buffer';
import { BULK, type Loan, lenderOf, lendOnce } from './loans.ts';
import type { Connection, ConnectionHandler } from './runtime.ts';
import { writeText } from './writes/text.ts';

/** What is used of Bun's `Socket` (https://bun.sh/docs/api/tcp). */
export interface BunSocket {
  data: NativeConnection;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  /** @returns bytes taken; below 0 when closed */
  write(bytes: Uint8Array, from: number, length: number): number;
  /** Half-closes. */
  shutdown(): void;
  /** Closes both ways with a FIN. */
  end(): void;
  /** Closes with RST. */
  terminate(): void;
  pause(): void;
  resume(): void;
  setNoDelay(on: boolean): void;
  /** @param idleMs until the first probe */
  setKeepAlive(on: boolean, idleMs: number): void;
}

const IDLE: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
/** Queued bytes above which `write` answers false; node:net's number. */
const HIGH_WATER = 64 * 1024;
/** Text and small bodies are joined here; what the kernel does not take at once is copied out of it. */
const page = Buffer.allocUnsafeSlow(64 * 1024);

export class NativeConnection implements Connection {
  gone: (() => void) | undefined;
  remoteAddress = '';
  remotePort = 0;
  localAddress = '';
  localPort = 0;
  readonly tls = undefined;
  private current: ConnectionHandler = IDLE;
  private socket: BunSocket | undefined;
  private queue: Uint8Array[] = [];
  /** Whose memory what is queued is, where it is lent. */
  private lenders: (Loan | undefined)[] = [];
  private queued = 0;
  private owesDrain = false;
  /** `end` was called: FIN follows what is queued. */
  private finished = false;
  private finSent = false;
  private peerEnded = false;
  private closed = false;
  private over = false;
  private paused = false;
  /** Dialling: nothing is delivered before `opened`. */
  private started: boolean;
  /** What came before there was a handler. */
  private early: Uint8Array[] | undefined;
  private failure: Error | undefined;

  constructor(handler: ConnectionHandler | undefined) {
    this.started = handler === undefined;
    if (handler) this.current = handler;
  }

  get handler(): ConnectionHandler {
    return this.current;
  }

  set handler(handler: ConnectionHandler) {
    this.current = handler;
    if (this.early || (this.peerEnded && this.started)) queueMicrotask(() => this.deliverEarly());
  }

  /** The socket is connected; the dialler may have given up meanwhile. */
  attach(socket: BunSocket): boolean {
    if (this.closed) {
      socket.terminate();
      return false;
    }
    this.socket = socket;
    socket.setNoDelay(true);
    this.remoteAddress = plainAddress(socket.remoteAddress);
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = plainAddress(socket.localAddress);
    this.localPort = socket.localPort ?? 0;
    this.started = true;
    return true;
  }

  get buffered(): number {
    return this.closed ? 0 : this.queued;
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed || this.finished) return true;
    return this.send(bytes, bytes.length, false);
  }

  writeLatin1(text: string): boolean {
    if (this.closed || this.finished) return true;
    const { length } = text;
    if (length > page.length) return this.write(Buffer.from(text, 'latin1'));
    writeText(page, text);
    return this.send(page, length, true);
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    const length = text.length + bytes.length;
    if (length > page.length) {
      this.writeLatin1(text);
      return this.write(bytes);
    }
    if (this.closed || this.finished) return true;
    writeText(page, text);
    page.set(bytes, text.length);
    return this.send(page, length, true);
  }

  /** @param shared the bytes are the page, which the next write uses again */
  private send(bytes: Uint8Array, length: number, shared: boolean): boolean {
    let taken = 0;
    if (this.queued === 0 && this.socket) taken = Math.max(0, this.socket.write(bytes, 0, length));
    if (taken === length) return true;
    const rest = bytes.subarray(taken, length);
    const lender = lenderOf(bytes);
    lender?.hold();
    this.lenders.push(lender);
    // Not `slice`: of a Buffer that is a view, and the page is rewritten.
    this.queue.push(shared ? new Uint8Array(rest) : rest);
    this.queued += rest.length;
    if (this.queued < HIGH_WATER) return true;
    this.owesDrain = true;
    return false;
  }

  end(): void {
    if (this.closed || this.finished) return;
    this.finished = true;
    this.sendFin();
  }

  private sendFin(): void {
    if (this.finSent || !this.finished || this.queued > 0 || !this.socket) return;
    this.finSent = true;
    if (this.peerEnded) this.shut(false);
    else this.socket.shutdown();
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.failure ??= error;
    this.shut(error !== undefined || this.queued > 0);
  }

  private forgetQueue(): void {
    for (const lender of this.lenders) lender?.done();
    this.queue = [];
    this.lenders = [];
    this.queued = 0;
  }

  /** Bun reports the close while it closes; handlers are notified of it in a later turn, as from node:net. */
  private shut(abort: boolean): void {
    this.closed = true;
    this.forgetQueue();
    this.early = undefined;
    if (abort) this.socket?.terminate();
    else this.socket?.end();
    queueMicrotask(() => this.finish());
  }

  pause(): void {
    if (this.closed || this.paused) return;
    this.paused = true;
    this.socket?.pause();
  }

  resume(): void {
    if (this.closed || !this.paused) return;
    this.paused = false;
    this.socket?.resume();
    if (this.early) queueMicrotask(() => this.deliverEarly());
  }

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    if (this.current === IDLE || this.early) {
      this.early ??= [];
      this.early.push(bytes);
      this.socket?.pause();
      return;
    }
    try {
      if (bytes.length >= BULK && this.current.onLent) lendOnce(bytes, this.current);
      else this.current.onData(bytes);
    } catch (error) {
      this.guard(error);
    }
  }

  private deliverEarly(): void {
    const { early } = this;
    if (this.closed || this.paused || this.current === IDLE) return;
    this.early = undefined;
    for (let i = 0; early && i < early.length; i++) {
      if (this.paused && !this.closed) {
        this.early = early.slice(i);
        return;
      }
      this.onData(early[i]!);
    }
    if (early && !this.closed && !this.paused) this.socket?.resume();
    if (this.peerEnded && !this.closed) this.deliverEnd();
  }

  onDrain(): void {
    while (this.queue.length > 0 && this.socket) {
      const bytes = this.queue[0]!;
      const taken = Math.max(0, this.socket.write(bytes, 0, bytes.length));
      this.queued -= taken;
      if (taken < bytes.length) {
        this.queue[0] = bytes.subarray(taken);
        return;
      }
      this.queue.shift();
      this.lenders.shift()?.done();
    }
    if (this.closed) return;
    if (this.finished) this.sendFin();
    else if (this.owesDrain) {
      this.owesDrain = false;
      try {
        this.current.onDrain();
      } catch (error) {
        this.guard(error);
      }
    }
  }

  onEnd(): void {
    if (this.closed || this.peerEnded) return;
    this.peerEnded = true;
    // The end comes behind the bytes before it.
    if (!this.early) this.deliverEnd();
  }

  private deliverEnd(): void {
    if (this.finSent) {
      this.shut(false);
      return;
    }
    if (this.current === IDLE) return;
    try {
      this.current.onEnd();
    } catch (error) {
      this.guard(error);
    }
  }

  /** Bun has closed it. Behind our FIN it does not report the peer's, but closes at once. */
  onClose(error?: Error): void {
    this.failure ??= error;
    const endsBoth = error === undefined && this.finSent && !this.peerEnded && !this.closed && !this.early;
    this.closed = true;
    if (endsBoth && this.current !== IDLE) {
      this.peerEnded = true;
      try {
        this.current.onEnd();
      } catch (thrown) {
        this.failure ??= thrown as Error;
      }
    }
    this.finish();
  }

  private guard(error: unknown): void {
    this.destroy(error instanceof Error ? error : new Error(String(error)));
  }

  private finish(): void {
    if (this.over) return;
    this.over = true;
    this.forgetQueue();
    this.early = undefined;
    const handler = this.current;
    this.current = IDLE;
    handler.onClose(this.failure);
    this.gone?.();
  }
}

/** `::ffff:10.0.0.1` is 10.0.0.1: policies and logs name addresses in one form. */
function plainAddress(address: string | undefined): string {
  if (!address) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
