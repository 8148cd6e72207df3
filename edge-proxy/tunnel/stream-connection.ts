/**
 * One stream of a tunnel as a connection: its bytes are those of the stream. Both ends of a tunnel use it, the gateway
 * for the streams that it opens, the workload for those that it is given.
 */
import { concat, fromLatin1 } from '../http/codec/bytes.ts';
import type { OutStream, ReadControl, StreamReset } from '../http/message/stream.ts';
import type { Connection, ConnectionEnds, ConnectionHandler } from '../runtime/runtime.ts';

const EMPTY = new Uint8Array(0);

/** The first byte of a TLS connection: its handshake record (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = 0x16;

/** The outgoing direction behind its head, and the control of the incoming one. */
export type ByteStream = Pick<OutStream<never>, 'data' | 'reset'> & ReadControl;

export class StreamConnection implements Connection {
  gone?: (() => void) | undefined;
  readonly tls = undefined;
  /** Written since the stream had no room. */
  buffered = 0;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  private readonly stream: ByteStream;
  private current: ConnectionHandler | undefined;
  /** What came before there was a handler. */
  private held: Uint8Array[] = [];
  private ended = false;
  private peerEnded = false;
  private closed = false;
  private unchecked: boolean;

  /** @param onlyTls it ends where what comes first is no handshake of TLS */
  constructor(
    stream: ByteStream,
    { remoteAddress, remotePort, localAddress, localPort }: ConnectionEnds,
    onlyTls = false,
  ) {
    this.stream = stream;
    this.unchecked = onlyTls;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.localAddress = localAddress;
    this.localPort = localPort;
  }

  get handler(): ConnectionHandler {
    return this.current ?? UNREAD;
  }

  /** What came before is delivered in a later turn. */
  set handler(handler: ConnectionHandler) {
    const isFirst = this.current === undefined;
    this.current = handler;
    if (isFirst && (this.held.length > 0 || this.peerEnded)) queueMicrotask(() => this.deliverHeld());
  }

  private deliverHeld(): void {
    for (const bytes of this.held.splice(0)) if (!this.closed) this.handler.onData(bytes);
    if (this.peerEnded) this.handler.onEnd();
  }

  /** @param bytes valid during the call alone @param end the peer sends nothing behind them */
  onData(bytes: Uint8Array, end: boolean): void {
    if (this.closed || this.peerEnded) return;
    if (this.unchecked && bytes.length > 0) {
      this.unchecked = false;
      if (bytes[0] !== TLS_HANDSHAKE) {
        this.destroy(new Error('tunnel: a connection without TLS'));
        return;
      }
    }
    this.peerEnded = end;
    const { current } = this;
    if (current === undefined || this.held.length > 0) {
      if (bytes.length > 0) this.held.push(new Uint8Array(bytes));
    } else {
      if (bytes.length > 0) current.onLent ? current.onLent(bytes) : current.onData(new Uint8Array(bytes));
      if (end) this.handler.onEnd();
    }
    if (end && this.ended) this.close();
  }

  /** Trailers of a byte stream say nothing but its end. */
  onTrailers(): void {
    this.onData(EMPTY, true);
  }

  onWritable(): void {
    this.buffered = 0;
    if (!this.closed) this.handler.onDrain();
  }

  onReset({ reason, detail }: Pick<StreamReset, 'reason' | 'detail'>): void {
    this.close(new Error(detail || reason));
  }

  /** Copies: the connection below may hold the bytes longer than the call, and the writer use their memory again. */
  write(bytes: Uint8Array): boolean {
    return this.send(new Uint8Array(bytes));
  }

  writeLatin1(text: string): boolean {
    return this.send(fromLatin1(text));
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    return this.send(concat(fromLatin1(text), bytes));
  }

  private send(bytes: Uint8Array): boolean {
    if (this.closed || this.ended) return true;
    const room = this.stream.data(bytes, false);
    if (!room) this.buffered += bytes.length;
    return room;
  }

  end(): void {
    if (this.closed || this.ended) return;
    this.ended = true;
    this.stream.data(EMPTY, true);
    if (this.peerEnded) this.close();
  }

  /** Once both sides have ended, what waits for the peer's window still goes out. */
  destroy(error?: Error): void {
    if (this.closed) return;
    if (error || !this.ended || !this.peerEnded) this.stream.reset('local_reset');
    this.close(error);
  }

  pause(): void {
    if (!this.closed) this.stream.pause();
  }

  resume(): void {
    if (!this.closed) this.stream.resume();
  }

  private close(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    // As connections of a runtime do: never while one of its methods runs.
    queueMicrotask(() => {
      this.handler.onClose(error);
      this.gone?.();
    });
  }
}

const UNREAD: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
