/** A connection by a tunnel until it is open, in the form of one that a runtime dials. */
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import type { TunnelClient } from './gateway-tunnel.ts';

export class TunnelDial implements Connection, TunnelClient {
  handler: ConnectionHandler;
  gone?: (() => void) | undefined;
  readonly remoteAddress = '';
  readonly remotePort = 0;
  readonly localAddress = '';
  readonly localPort = 0;
  readonly tls = undefined;
  readonly buffered = 0;
  private readonly opened: (connection: Connection) => void;
  private cancel: (() => void) | undefined;
  private settled = false;

  /** @param opened is given the connection, another object than this one */
  constructor(handler: ConnectionHandler, opened: (connection: Connection) => void) {
    this.handler = handler;
    this.opened = opened;
  }

  cancels(cancel: () => void): void {
    this.cancel = cancel;
  }

  failLater(error: Error): void {
    queueMicrotask(() => this.onFailed(error));
  }

  onOpen(connection: Connection): void {
    if (this.settled) {
      connection.destroy();
      return;
    }
    this.settled = true;
    connection.handler = this.handler;
    this.opened(connection);
  }

  onFailed(error: Error | undefined): void {
    if (this.settled) return;
    this.settled = true;
    this.handler.onClose(error);
    this.gone?.();
  }

  destroy(error?: Error): void {
    if (this.settled) return;
    this.cancel?.();
    queueMicrotask(() => this.onFailed(error));
  }

  write(): boolean {
    return true;
  }

  writeLatin1(): boolean {
    return true;
  }

  writeBoth(): boolean {
    return true;
  }

  end(): void {}
  pause(): void {}
  resume(): void {}
}
