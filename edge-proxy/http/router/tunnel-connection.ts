/**
 * The tunnel of a CONNECT that ends in this process (RFC 9110 section 9.3.6), as a connection: what serves it reads and writes
 * what the client sends and receives inside the tunnel.
 */
import type { Connection, ConnectionHandler } from '../../runtime/runtime.ts';
import { concat, fromLatin1 } from '../codec/bytes.ts';
import type { Permit } from '../filters/permit.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { RouterClient } from './router-client.ts';

const EMPTY = new Uint8Array(0);
const DETAILS = 'http_proxy_tunnel_closed';

const UNREAD: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

/** In the place of a router: the exchange hands it what comes of the request. */
export class TunnelConnection implements Connection {
  handler: ConnectionHandler = UNREAD;
  gone?: (() => void) | undefined;
  readonly tls = undefined;
  /** What was written since the client's connection had no room; what waits below that mark is not known here. */
  buffered = 0;
  private readonly exchange: RouterClient;
  private ended = false;
  private closed = false;

  /** @param permit only a CONNECT that every filter let through opens a tunnel */
  constructor(permit: Permit<ProxyRequest>, exchange: RouterClient) {
    if (permit.request !== exchange.request) throw new Error('the permit is for another request');
    this.exchange = exchange;
  }

  /**
   * Answers 200, then hands the connection over.
   * @param pending what the client sent without waiting
   * @param ended the client sends nothing behind it
   */
  open(accept: (connection: Connection) => void, pending: readonly Uint8Array[], ended: boolean): void {
    this.exchange.response.fromUpstream(
      { status: 200, headers: new HeaderMap(), bodySize: undefined, upgrade: '', version: 'HTTP/1.1' },
      false,
    );
    if (this.closed) return;
    accept(this);
    for (const bytes of pending) this.onData(bytes, false);
    if (ended) this.onData(EMPTY, true);
  }

  get remoteAddress(): string {
    return this.exchange.request.downstream.remoteAddress;
  }

  get remotePort(): number {
    return this.exchange.request.downstream.remotePort;
  }

  get localAddress(): string {
    return this.exchange.request.downstream.localAddress;
  }

  get localPort(): number {
    return this.exchange.request.downstream.localPort;
  }

  /** @param bytes valid during the call alone */
  onData(bytes: Uint8Array, end: boolean): void {
    const { handler } = this;
    if (bytes.length > 0 && !this.closed) handler.onLent ? handler.onLent(bytes) : handler.onData(bytes.slice());
    if (end && !this.closed) this.handler.onEnd();
  }

  onTrailers(): void {
    // A tunnel has none.
  }

  onDownstreamWritable(): void {
    this.buffered = 0;
    if (!this.closed) this.handler.onDrain();
  }

  /** The exchange is over. */
  abandon(): void {
    this.close();
  }

  /** Copies: the client's connection may hold the bytes longer than `buffered` says, and the writer use their memory again. */
  write(bytes: Uint8Array): boolean {
    return this.send(bytes.slice());
  }

  writeLatin1(text: string): boolean {
    return this.send(fromLatin1(text));
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    return this.send(concat(fromLatin1(text), bytes));
  }

  private send(bytes: Uint8Array): boolean {
    if (this.closed || this.ended) return true;
    const room = this.exchange.response.data(bytes, false);
    if (!room) this.buffered += bytes.length;
    return room;
  }

  end(): void {
    if (this.closed || this.ended) return;
    this.ended = true;
    this.exchange.response.data(EMPTY, true);
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.close(error);
    this.exchange.fail('UC', DETAILS);
  }

  pause(): void {
    if (!this.closed) this.exchange.body.pause();
  }

  resume(): void {
    if (!this.closed) this.exchange.body.resume();
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
