/** Flow control through a connection manager, HTTP/2 on both sides: Node's client and server at the ends. */
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { currentRuntime } from '../../runtime/index.ts';
import type { Listening } from '../../runtime/runtime.ts';
import { defaultHttp2Options } from '../codec/h2/options.ts';
import { http2Protocol } from '../codec/h2/upstream-connection.ts';
import { downstream, forward, makeCluster } from '../testing/manager.ts';
import { ConnectionManager } from './connection-manager.ts';

const MB = 1024 * 1024;
const PIECE = Buffer.alloc(64 * 1024, 120);
/** What stays on its way to a reader that reads nothing: windows that have not grown, queues, sockets. */
const HELD = 4 * MB;

const server = http2.createServer({ maxSessionMemory: 200 });
/** Bytes that the endless response has handed to its stream. */
let poured = 0;
let uploads: http2.ServerHttp2Stream[] = [];
let listening: Listening;
let client: http2.ClientHttp2Session;

function pour(stream: http2.ServerHttp2Stream): void {
  while (!stream.destroyed && stream.writable) {
    poured += PIECE.length;
    if (stream.write(PIECE)) continue;
    stream.once('drain', () => pour(stream));
    return;
  }
}

beforeAll(async () => {
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] === '/endless') {
      stream.respond({ ':status': 200 });
      pour(stream);
    } else if (headers[':path'] === '/upload') uploads.push(stream);
    else {
      stream.respond({ ':status': 200 });
      stream.end('quick');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const upstream = http2Protocol(defaultHttp2Options);
  const cluster = {
    ...makeCluster([(server.address() as AddressInfo).port]),
    protocols: { forHttp1: upstream, forHttp2: upstream },
  };
  for (const endpoint of cluster.endpoints()) Object.assign(endpoint, { address: '127.0.0.1' });
  const runtime = currentRuntime();
  const manager = new ConnectionManager({
    config: { statPrefix: 't' },
    routes: () => ({ name: 't', match: () => forward() }),
    filters: [],
    clusters: { get: () => cluster },
    runtime,
    observers: [],
    draining: () => false,
  });
  const accept = (connection: Parameters<ConnectionManager['accept']>[0]) => manager.accept(connection, downstream);
  listening = await runtime.listen({ address: '127.0.0.1', port: 0 }, accept);
  client = http2.connect(`http://127.0.0.1:${listening.port}`, { maxSessionMemory: 200 });
});
afterAll(async () => {
  client.destroy();
  server.close();
  await listening.close();
});

const request = (path: string, method = 'GET') => {
  const stream = client.request({ ':path': path, ':method': method }, { endStream: method === 'GET' });
  stream.on('error', () => {});
  return stream;
};

async function quick(): Promise<string> {
  const stream = request('/quick');
  let body = '';
  for await (const chunk of stream) body += String(chunk);
  return body;
}

/** Waits until a number stays as it is over several requests. */
async function still(read: () => number): Promise<number> {
  for (let same = 0, last = -1; same < 20; ) {
    expect(await quick()).toBe('quick');
    same = read() === last ? same + 1 : 0;
    last = read();
  }
  return read();
}

it('a client that reads nothing of one response holds back that response alone', async () => {
  const slow = request('/endless');
  await new Promise((resolve) => slow.once('response', resolve));
  slow.pause();
  expect(await still(() => poured)).toBeLessThan(HELD);
  let read = 0;
  slow.on('data', (bytes: Buffer) => {
    read += bytes.length;
    if (read > 16 * MB) slow.close();
  });
  slow.resume();
  await new Promise((resolve) => slow.once('close', resolve));
  expect(read).toBeGreaterThan(16 * MB);
});

it('an upstream that reads nothing of one request holds back that request alone', async () => {
  const upload = request('/upload', 'POST');
  let sent = 0;
  const push = () => {
    while (!upload.destroyed && sent < 64 * MB) {
      sent += PIECE.length;
      if (!upload.write(PIECE)) return void upload.once('drain', push);
    }
    upload.end();
  };
  push();
  expect(await still(() => sent)).toBeLessThan(HELD);
  const [stream] = uploads;
  uploads = [];
  let received = 0;
  for await (const bytes of stream!) received += (bytes as Buffer).length;
  stream!.respond({ ':status': 200 });
  stream!.end();
  await new Promise((resolve) => upload.resume().once('close', resolve));
  expect(received).toBe(64 * MB);
});
