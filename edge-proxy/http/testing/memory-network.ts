/** For tests: an in-memory network behind the Runtime seam, so that connections need no sockets and no waiting. */
import type { Connection, ConnectionHandler, Listening, ListenOptions, Runtime } from '../../runtime/runtime.ts';
import { fromLatin1, latin1 } from '../codec/bytes.ts';

const ignore: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
const highWater = 64 * 1024;

type Item = Uint8Array | 'end';

/** One end of an in-memory byte stream. Bytes arrive in later microtasks, as writes were made. */
export class MemoryConnection implements Connection {
  handler: ConnectionHandler = ignore;
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 40000;
  readonly localAddress = '127.0.0.1';
  readonly localPort = 80;
  readonly tls = undefined;
  peer!: MemoryConnection;
  closed = false;
  paused = false;
  ended = false;
  private readonly queue: Item[] = [];
  private queued = 0;
  private owesDrain = false;
  private scheduled = false;

  get buffered(): number {
    return this.peer.queued;
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed || this.ended) return true;
    this.peer.receive(new Uint8Array(bytes), bytes.length);
    if (this.peer.queued < highWater) return true;
    this.owesDrain = true;
    return false;
  }

  writeLatin1(text: string): boolean {
    return this.write(fromLatin1(text));
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    this.writeLatin1(text);
    return this.write(bytes);
  }

  end(): void {
    if (this.closed || this.ended) return;
    this.ended = true;
    this.peer.receive('end', 0);
  }

  destroy(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.handler.onClose(error));
    this.peer.lost(error);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.schedule();
  }

  private lost(error?: Error): void {
    queueMicrotask(() => {
      if (this.closed) return;
      // What was sent before the close still arrives.
      this.paused = false;
      this.deliver();
      if (this.closed) return;
      this.closed = true;
      this.handler.onClose(error);
    });
  }

  private receive(item: Item, size: number): void {
    this.queue.push(item);
    this.queued += size;
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.deliver();
    });
  }

  private deliver(): void {
    while (!this.paused && !this.closed && this.queue.length > 0) {
      const item = this.queue.shift()!;
      if (item === 'end') {
        this.handler.onEnd();
        if (this.ended && !this.closed) {
          this.closed = true;
          this.handler.onClose();
          this.peer.lost();
        }
        continue;
      }
      this.queued -= item.length;
      this.handler.onData(item);
      if (this.peer.owesDrain && this.queued < highWater / 2) {
        this.peer.owesDrain = false;
        this.peer.handler.onDrain();
      }
    }
  }
}

export function memoryPair(): [MemoryConnection, MemoryConnection] {
  const a = new MemoryConnection();
  const b = new MemoryConnection();
  a.peer = b;
  b.peer = a;
  return [a, b];
}

/** A runtime whose sockets are memory; TLS, files and processes are not there. */
export class MemoryRuntime implements Runtime {
  readonly name = 'node';
  private readonly listeners = new Map<string, (connection: Connection) => void>();
  readonly dialled: string[] = [];
  addresses: Record<string, string[]> = {};

  now(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  random(): number {
    return Math.random();
  }

  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<Listening> {
    const key = `${options.address}:${options.port}`;
    this.listeners.set(key, onConnection);
    const close = () => {
      this.listeners.delete(key);
      return Promise.resolve();
    };
    return Promise.resolve({ address: options.address, port: options.port, close });
  }

  openDatagrams(): never {
    throw new Error('a memory runtime has no datagrams');
  }

  connect(
    to: { address: string; port: number },
    _tls: unknown,
    handler: ConnectionHandler,
    onOpen: (connection: Connection) => void,
  ): Connection {
    const key = `${to.address}:${to.port}`;
    this.dialled.push(key);
    const [client, server] = memoryPair();
    client.handler = handler;
    const accept = this.listeners.get(key);
    queueMicrotask(() => {
      if (client.closed) return;
      if (!accept) {
        client.closed = true;
        client.handler.onClose(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
        return;
      }
      accept(server);
      onOpen(client);
    });
    return client;
  }

  connectOver(): never {
    throw new Error('no TLS in memory');
  }

  serverTls(): never {
    throw new Error('no TLS in memory');
  }

  /** There is no TLS here. */
  revokePeers(): void {}
  clientTls(): never {
    throw new Error('no TLS in memory');
  }

  acceptTls(): Promise<never> {
    return Promise.reject(new Error('no TLS in memory'));
  }

  resolve(host: string): Promise<{ addresses: string[]; ttl: number | undefined }> {
    const addresses = this.addresses[host];
    return addresses ? Promise.resolve({ addresses, ttl: 1 }) : Promise.reject(new Error(`no such host: ${host}`));
  }

  localAddresses(): string[] {
    return [];
  }

  get files(): never {
    throw new Error('no files in memory');
  }

  get process(): never {
    throw new Error('no process in memory');
  }
}

/** Gathers what arrives and waits for conditions on it. */
export class Wire implements ConnectionHandler {
  readonly connection: Connection;
  text = '';
  ended = false;
  closed = false;
  private waiters: { until: () => boolean; resolve: () => void }[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
    connection.handler = this;
  }

  send(text: string): this {
    this.connection.writeLatin1(text);
    return this;
  }

  onData(bytes: Uint8Array): void {
    this.text += latin1(bytes, 0, bytes.length);
    this.check();
  }

  onDrain(): void {
    this.check();
  }

  onEnd(): void {
    this.ended = true;
    this.check();
  }

  onClose(): void {
    this.ended = true;
    this.closed = true;
    this.check();
  }

  /** Resolves once the condition holds; it is looked at after every event of this connection. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ until: condition, resolve }));
  }

  /** Resolves with all text once it holds `wanted`. */
  async saw(wanted: string): Promise<string> {
    await this.until(() => this.text.includes(wanted) || this.closed);
    return this.text;
  }

  private check(): void {
    const ready = this.waiters.filter((waiter) => waiter.until());
    this.waiters = this.waiters.filter((waiter) => !ready.includes(waiter));
    for (const waiter of ready) waiter.resolve();
  }
}
