/** A Connection over net.Socket or tls.TLSSocket: the same code on Node, Bun and Deno. */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { BULK, Loan, lenderOf, lendOnce } from './loans.ts';
import type { Connection, ConnectionEnds, ConnectionHandler, TlsInfo } from './runtime.ts';
import { Outlet, type OutletOwner, type SocketWriter, type WriterOwner } from './writes/outlet.ts';
import { joinText } from './writes/text.ts';

/** What differs between the runtimes. */
export interface Quirks {
  /** Reads without a stream between, into lent memory (Node); see node-reads.ts. */
  readonly readDirectly?: (
    socket: Socket,
    take: (this: Socket, length: number, memory: Uint8Array) => boolean,
  ) => boolean;
  /** Writes without a stream between. @returns undefined: not possible */
  readonly directWriter?: (socket: Socket, secure: boolean) => ((owner: WriterOwner) => SocketWriter) | undefined;
  /** A socket read so cannot be given to a TLS server any more (Deno). */
  readonly directForGood?: boolean;
  /** @param memory undefined: into the memory that all share */
  readonly readNextInto?: (memory: Uint8Array | undefined) => void;
  /** What is read reaches the socket's stream by its `push`, and passes by it where the stream holds nothing (Bun). */
  readonly readsByPush?: boolean;
  /** What a stream has read is in memory of its own, and may be given back by hand (Bun). */
  readonly readsAreOurs?: boolean;
  /** Receives the bytes that passed through TLS connections, both directions, since its last call. */
  readonly onTlsBytes?: (length: number) => void;
  /** Why cipher suites and curves cannot be chosen (Deno reads neither); undefined: they can. */
  readonly fixedCiphers?: string;
  /** Stops, or lets continue, the kernel reads below a TLS socket whose own pause() does not (Deno). */
  readonly holdRaw?: (secure: Socket, raw: Socket | undefined, hold: boolean) => void;
}

/** Bodies up to this size are copied behind their head. */
const JOIN_BELOW = 32 * 1024;

/** Reads up to this size are small; no bulk buffer is leased for them. */
const CHAT = 2 * 1024;

const CONNECTION = Symbol('connection');
type OwnedSocket = Socket & { [CONNECTION]?: SocketConnection | undefined };

/** Before the owner has set its handler, and after close: takes nothing, answers a FIN with a FIN. */
const IDLE: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

export class SocketConnection implements Connection, OutletOwner {
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
  /** undefined: the socket is written as a stream. */
  private outlet: Outlet | undefined;
  private failure: Error | undefined;
  private closed = false;
  private finished = false;
  private started = false;
  private paused = false;
  /** Read without a stream between. */
  direct = false;
  /** What came before there was a handler; only where reads are direct, else the stream holds it. */
  private held: Uint8Array[] | undefined;
  private endHeld = false;
  /** Lent to the handlers that take it, read after read. */
  private own: Loan | undefined;
  /** The last read was small. */
  private chatted = false;

  /** @param upgradable TLS may follow on an accepted socket */
  constructor(
    socket: Socket,
    quirks: Quirks,
    tls: TlsInfo | undefined,
    below: SocketConnection | undefined,
    upgradable = false,
  ) {
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
    // One that is being dialled is opened later.
    if (!socket.connecting) {
      if (!(upgradable && quirks.directForGood)) this.readDirectly();
      this.writeDirectly();
    }
  }

  private writeDirectly(): void {
    const makeWriter = this.quirks.directWriter?.(this.socket, this.tls !== undefined);
    if (makeWriter) this.outlet = new Outlet(makeWriter, this);
  }

  private readDirectly(): void {
    this.direct = this.quirks.readDirectly?.(this.socket, onRead) ?? false;
    if (this.direct) this.socket.on('end', onEnd);
  }

  get handler(): ConnectionHandler {
    return this.current;
  }

  /** Reading starts once there is a handler: none is lost between accept and the first handler. */
  set handler(handler: ConnectionHandler) {
    this.current = handler;
    if (!this.started && !this.dialling) this.start();
  }

  /** A dialled socket before its connect or handshake: data must wait for the peer's judgement. */
  dialling = false;

  private start(): void {
    this.started = true;
    this.socket.on('drain', onDrain);
    if (this.direct) {
      if (!this.paused) this.flow();
      return;
    }
    this.socket.on('data', onData);
    this.socket.on('end', onEnd);
    if (this.quirks.readsByPush) this.socket.push = pushPast;
  }

  /** What was held comes first, in a later turn, as from a stream. */
  private flow(): void {
    if (this.held || this.endHeld) queueMicrotask(() => this.deliverHeld());
    else this.socket.resume();
  }

  private deliverHeld(): void {
    for (const { held } = this; held && held.length > 0; ) {
      if (this.closed || this.paused) return;
      this.deliver(held.shift()!);
    }
    if (this.closed || this.paused) return;
    this.held = undefined;
    this.socket.resume();
    if (this.endHeld) this.deliverEnd();
  }

  /** @returns false: the stream must take it */
  takePushed(bytes: Uint8Array): boolean {
    const { socket } = this;
    if (this.paused || this.closed || socket.readableLength > 0 || socket.readableFlowing !== true) return false;
    this.deliver(bytes);
    return true;
  }

  deliver(bytes: Uint8Array): void {
    try {
      if (this.quirks.readsAreOurs && bytes.length >= BULK && this.current.onLent) lendOnce(bytes, this.current);
      else this.current.onData(bytes);
    } catch (error) {
      this.guard(error);
    }
  }

  /** @returns false: reading stops until there is a handler */
  takeRead(length: number, memory: Uint8Array): boolean {
    if (this.tls) this.quirks.onTlsBytes?.(length);
    if (this.held || !this.started) {
      this.held ??= [];
      this.held.push(Buffer.from(memory.subarray(0, length)));
      return false;
    }
    const handler = this.current;
    if (handler.onLent && memory === this.own?.memory) this.lend(handler, length, this.own);
    else {
      const bytes = Buffer.allocUnsafe(length);
      bytes.set(length === memory.length ? memory : memory.subarray(0, length));
      this.deliver(bytes);
      if (handler.onLent && length >= BULK) this.lendNext();
    }
    return true;
  }

  private lend(handler: ConnectionHandler, length: number, loan: Loan): void {
    const { memory } = loan;
    try {
      loan.lend(length === memory.length ? memory : memory.subarray(0, length), handler);
    } catch (error) {
      this.guard(error);
    }
    if (this.closed) return;
    // The tail of a body is small, and the next body may follow: two small reads in a row are a chat.
    const chats = length <= CHAT;
    if (chats && (this.chatted || Loan.many)) this.lendNoMore();
    else if (loan.kept) this.lendNext();
    this.chatted = chats;
  }

  private lendNext(): void {
    if (this.closed) return;
    this.own?.leave();
    this.own = Loan.take();
    this.quirks.readNextInto!(this.own.memory);
  }

  private lendNoMore(): void {
    this.quirks.readNextInto!(undefined);
    this.own?.leave();
    this.own = undefined;
  }

  /** The end comes behind the bytes before it. */
  takeEnd(): void {
    if (this.direct && (this.held || !this.started)) this.endHeld = true;
    else this.deliverEnd();
  }

  private deliverEnd(): void {
    this.endHeld = false;
    if (this.current === IDLE) {
      this.end();
      return;
    }
    try {
      this.current.onEnd();
    } catch (error) {
      this.guard(error);
    }
  }

  /** Those of the connection below a TLS socket that knows none. */
  takeEnds(below: ConnectionEnds): void {
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
    if (this.paused) this.hold(true);
    this.readDirectly();
    this.writeDirectly();
    this.start();
  }

  /** Gives the socket away (a TLS server takes over); this connection is finished without an onClose. */
  release(): Socket {
    this.closed = true;
    this.current = IDLE;
    this.outlet = undefined;
    const socket = this.socket;
    // Deleted, it would make a slow dictionary of the socket.
    socket[CONNECTION] = undefined;
    socket.pause();
    socket.off('data', onData);
    socket.off('drain', onDrain);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    for (const bytes of this.held?.reverse() ?? []) socket.unshift(bytes);
    this.held = undefined;
    // The error listener stays: an error between two owners must not end the process.
    return socket;
  }

  get buffered(): number {
    return this.closed ? 0 : this.unsent;
  }

  private get unsent(): number {
    return this.outlet?.buffered ?? this.socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed || this.finished) return true;
    return this.send(bytes);
  }

  private send(bytes: Uint8Array): boolean {
    if (this.tls) this.quirks.onTlsBytes?.(bytes.length);
    if (this.outlet) return this.outlet.write(bytes);
    const lender = lenderOf(bytes);
    return lender ? lender.write(this.socket, bytes) : this.socket.write(bytes);
  }

  writeLatin1(text: string): boolean {
    if (this.closed || this.finished) return true;
    if (this.tls) this.quirks.onTlsBytes?.(text.length);
    return this.outlet ? this.outlet.writeLatin1(text) : this.socket.write(text, 'latin1');
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    if (this.closed || this.finished) return true;
    const { socket, outlet } = this;
    if (!outlet && bytes.length > JOIN_BELOW) {
      socket.cork();
      this.writeLatin1(text);
      const room = this.send(bytes);
      socket.uncork();
      return room;
    }
    if (this.tls) this.quirks.onTlsBytes?.(text.length + bytes.length);
    if (outlet) return outlet.writeBoth(text, bytes);
    // One buffer is one write of the runtime: cheaper than gathering two.
    return socket.write(joinText(text, bytes));
  }

  end(): void {
    if (this.closed || this.finished) return;
    this.finished = true;
    if (this.outlet) this.outlet.end();
    else this.socket.end();
  }

  onAllSent(): void {
    this.socket.end();
  }

  onRoom(): void {
    if (this.closed) return;
    try {
      this.current.onDrain();
    } catch (error) {
      this.guard(error);
    }
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.failure ??= error;
    // RST when something is abandoned; an orderly close of an idle connection stays a FIN.
    const abandons = error !== undefined || this.unsent > 0;
    if (abandons && !this.raw && !this.tls && !this.dialling) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  pause(): void {
    if (this.closed) return;
    this.socket.pause();
    if (!this.paused) this.hold(true);
    this.paused = true;
  }

  resume(): void {
    // Once for each request: a connection that reads is left alone.
    if (this.closed || !this.paused) return;
    this.hold(false);
    this.paused = false;
    if (!this.direct) this.socket.resume();
    else if (this.started) this.flow();
  }

  private hold(hold: boolean): void {
    if (this.tls) this.quirks.holdRaw?.(this.socket, this.raw, hold);
  }

  /** An exception in a handler closes its connection, not the process. */
  guard(error: unknown): void {
    this.destroy(error instanceof Error ? error : new Error(String(error)));
  }

  fail(error: Error): void {
    this.failure ??= error;
  }

  finish(): void {
    if (this.closed) return;
    this.closed = true;
    this.own?.leave();
    this.outlet?.close();
    const handler = this.current;
    this.current = IDLE;
    handler.onClose(this.failure);
    this.gone?.();
  }
}

function onData(this: OwnedSocket, bytes: Uint8Array): void {
  this[CONNECTION]?.deliver(bytes);
}

/** In the place of a socket's own `push`. */
function pushPast(this: OwnedSocket, bytes: Uint8Array | null): boolean {
  if (bytes !== null && this[CONNECTION]?.takePushed(bytes)) return true;
  return Readable.prototype.push.call(this, bytes);
}

function onRead(this: OwnedSocket, length: number, memory: Uint8Array): boolean {
  return this[CONNECTION]?.takeRead(length, memory) ?? false;
}

function onDrain(this: OwnedSocket): void {
  this[CONNECTION]?.onRoom();
}

function onEnd(this: OwnedSocket): void {
  this[CONNECTION]?.takeEnd();
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
/** Without the prefix of a v4-mapped address. */
export function plainAddress(address: string | undefined): string {
  if (!address) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
