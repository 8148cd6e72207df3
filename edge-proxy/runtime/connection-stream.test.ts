import { once } from 'node:events';
import { expect, it } from 'vitest';
import { ConnectionStream } from './connection-stream.ts';
import type { Connection, ConnectionHandler } from './runtime.ts';

const MIB = 1024 * 1024;
const NOTHING = new Uint8Array(0);

/** A connection whose peer is the test: it takes nothing before `drain`, and says what was done to it. */
class Line implements Connection {
  handler!: ConnectionHandler;
  readonly remoteAddress = '';
  readonly remotePort = 0;
  readonly localAddress = '';
  readonly localPort = 0;
  readonly tls = undefined;
  readonly buffered = 0;
  written = 0;
  paused = false;
  readonly events: string[] = [];

  write(bytes: Uint8Array): boolean {
    this.written += bytes.length;
    return false;
  }
  writeLatin1(): boolean {
    return true;
  }
  writeBoth(): boolean {
    return true;
  }
  end(): void {
    this.events.push('end');
  }
  destroy(error?: Error): void {
    this.events.push(`destroy ${error?.message ?? ''}`.trim());
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}

it('a slow reader gets every byte that came before an orderly close', async () => {
  const line = new Line();
  const stream = new ConnectionStream(line, NOTHING);
  stream.end();
  const piece = new Uint8Array(64 * 1024);
  for (let sent = 0; sent < MIB; sent += piece.length) line.handler.onData(piece);
  expect(line.paused).toBe(true);
  line.handler.onEnd();
  line.handler.onClose();
  let received = 0;
  for await (const bytes of stream) {
    received += (bytes as Uint8Array).length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(received).toBe(MIB);
  expect(line.events).toEqual(['end']);
});

it('what is written before the end goes out first, and nothing that is queued below is dropped', async () => {
  const line = new Line();
  const stream = new ConnectionStream(line, NOTHING);
  for (let i = 0; i < 16; i++) stream.write(new Uint8Array(64 * 1024));
  stream.end();
  line.handler.onEnd();
  stream.resume();
  expect(line.events).toEqual([]);
  while (line.written < MIB) {
    line.handler.onDrain();
    await new Promise((resolve) => setImmediate(resolve));
  }
  line.handler.onDrain();
  await once(stream, 'close');
  // Destroyed, the connection would drop what it holds: it closes by itself.
  expect(line.events).toEqual(['end']);
});

it('a close without an end, or with an error, ends the stream with it', async () => {
  const cut = new ConnectionStream(new Line(), NOTHING);
  const line = cut['connection'] as Line;
  line.handler.onData(new Uint8Array(10));
  line.handler.onClose(new Error('reset'));
  const [error] = (await once(cut, 'error')) as [Error];
  expect(error.message).toBe('reset');
  const silent = new ConnectionStream(new Line(), NOTHING);
  (silent['connection'] as Line).handler.onClose();
  await once(silent, 'close');
  expect(silent.readableEnded).toBe(false);
});
