/**
 * What the proxy's own code costs a request: connections that are no sockets, so that neither kernel nor runtime take
 * part. Argument: a bootstrap file whose first listener is asked. Prints CPU nanoseconds per request of the cheapest slice.
 */
import * as z from 'zod';
import { startStaticProxy } from '../../edge-proxy/assemble.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import type { Connection, ConnectionHandler, Runtime } from '../../edge-proxy/runtime/runtime.ts';
import { parseSettings } from '../../edge-proxy/settings/settings.ts';

z.config({ jitless: true });

const CONNECTIONS = 32;
const REQUESTS = 1250 * CONNECTIONS;
/** Then timers and whatever waits for the event loop have their turn. */
const TURN = 100 * CONNECTIONS;
const SLICES = 14;
const RESPONSE = Buffer.from(
  `HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 19:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n${'x'.repeat(1024)}`,
);
const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');

const idle: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

/** Takes what is written and only counts it. */
class Counting implements Connection {
  handler = idle;
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 40_000;
  readonly localAddress = '127.0.0.1';
  readonly localPort = 80;
  readonly tls = undefined;
  readonly buffered = 0;
  private readonly written: (connection: Counting) => void;

  constructor(written: (connection: Counting) => void) {
    this.written = written;
  }

  write(): boolean {
    this.written(this);
    return true;
  }
  writeLatin1 = this.write;
  writeBoth = this.write;
  end(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}
}

/** Upstream connections with a request that is not answered yet. */
const asked: Counting[] = [];
let answered = 0;
let accept: ((connection: Connection) => void) | undefined;

const runtime: Runtime = Object.create(currentRuntime(), {
  listen: {
    value: async ({ address }: { address: string }, onConnection: (connection: Connection) => void) => {
      // The first is the proxy's listener, the next the admin server. The upstream is on port 1, which must not be its own.
      accept ??= onConnection;
      return { address, port: 2, close: async () => {} };
    },
  },
  connect: {
    value: (_to: unknown, _tls: unknown, handler: ConnectionHandler, onOpen: (connection: Connection) => void) => {
      const connection = new Counting((self) => asked.push(self));
      connection.handler = handler;
      queueMicrotask(() => onOpen(connection));
      return connection;
    },
  },
});

const parsed = parseSettings(['-c', process.argv[2]!, '--admin-port', '0'], {});
if (parsed.kind !== 'static') throw new Error('needs a bootstrap file');
await startStaticProxy(runtime, '0', parsed.settings, { quit: () => {}, hotRestart: async () => undefined });
const clients = Array.from({ length: CONNECTIONS }, () => {
  const connection = new Counting(() => answered++);
  accept!(connection);
  return connection;
});

async function slice(): Promise<number> {
  const [begun, before] = [answered, process.cpuUsage()];
  for (let sent = 0; sent < REQUESTS; sent += CONNECTIONS) {
    for (const client of clients) client.handler.onData(REQUEST);
    if (asked.length < CONNECTIONS || sent % TURN === 0) await new Promise((turn) => setImmediate(turn));
    for (const upstream of asked.splice(0)) upstream.handler.onData(RESPONSE);
  }
  const { user, system } = process.cpuUsage(before);
  if (answered - begun !== REQUESTS) throw new Error(`${answered - begun} of ${REQUESTS} requests were answered`);
  return ((user + system) * 1000) / REQUESTS;
}

let least = Number.POSITIVE_INFINITY;
for (let i = 0; i < SLICES; i++) least = Math.min(least, await slice());
console.log(JSON.stringify({ nsPerRequest: Math.round(least) }));
process.exit(0);
