/** HTTP/2 both ways through a connection manager, against Node's client and server. */
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { currentRuntime } from '../../../runtime/index.ts';
import type { Listening } from '../../../runtime/runtime.ts';
import { ConnectionManager } from '../../downstream/connection-manager.ts';
import { downstream, forward, makeCluster } from '../../testing/manager.ts';
import { defaultHttp2Options } from './options.ts';
import { http2Protocol } from './upstream-connection.ts';

const MB = 1024 * 1024;

describe('HTTP/2 to HTTP/2', () => {
  const server = http2.createServer({ maxSessionMemory: 200 });
  let listening: Listening;
  let client: http2.ClientHttp2Session;

  beforeAll(async () => {
    server.on('stream', (stream, headers) => {
      const path = headers[':path']!;
      if (path === '/echo') {
        stream.respond({ ':status': 200, 'x-method': headers[':method'] }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'end' }));
        stream.pipe(stream);
      } else if (path === '/reset') {
        stream.respond({ ':status': 200 });
        stream.on('error', () => {});
        stream.write('part', () => stream.destroy(new Error('cut')));
      } else {
        stream.respond({ ':status': 404 });
        stream.end('none');
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const runtime = currentRuntime();
    const upstream = http2Protocol(defaultHttp2Options);
    const cluster = { ...makeCluster([port]), protocols: { forHttp1: upstream, forHttp2: upstream } };
    for (const endpoint of cluster.endpoints()) Object.assign(endpoint, { address: '127.0.0.1' });
    const manager = new ConnectionManager({
      config: { statPrefix: 't' },
      routes: () => ({ name: 't', match: () => forward() }),
      filters: [],
      clusters: { get: () => cluster },
      runtime,
      observers: [],
      draining: () => false,
    });
    listening = await runtime.listen({ address: '127.0.0.1', port: 0 }, (connection) =>
      manager.accept(connection, downstream),
    );
    client = http2.connect(`http://127.0.0.1:${listening.port}`, { maxSessionMemory: 200 });
  });
  afterAll(async () => {
    client.close();
    server.close();
    await listening.close();
  });

  function ask(path: string, body?: Buffer, trailers?: http2.OutgoingHttpHeaders) {
    const stream = client.request(
      { ':path': path, ':method': body ? 'POST' : 'GET' },
      { endStream: !body, waitForTrailers: trailers !== undefined },
    );
    if (trailers) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    if (body) stream.end(body);
    return new Promise<{ status: number; body: Buffer; trailers: http2.IncomingHttpHeaders; code: number }>(
      (resolve) => {
        const seen = { status: 0, body: Buffer.alloc(0), trailers: {} as http2.IncomingHttpHeaders, code: 0 };
        const chunks: Buffer[] = [];
        stream.on('response', (headers) => {
          seen.status = headers[':status']!;
        });
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('trailers', (headers) => {
          seen.trailers = headers;
        });
        stream.on('error', () => {});
        stream.on('close', () => resolve({ ...seen, body: Buffer.concat(chunks), code: stream.rstCode }));
      },
    );
  }

  it('heads, data and trailers', async () => {
    const { status, body, trailers, code } = await ask('/echo', Buffer.from('hello'), { 'x-late': '1' });
    expect([status, String(body), trailers['x-sum'], code]).toEqual([200, 'hello', 'end', 0]);
    expect((await ask('/none')).status).toBe(404);
  });

  it('many streams at once, and bodies larger than every window', async () => {
    const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(MB * (i % 4) + 17, 97 + i));
    const replies = await Promise.all(bodies.map((body) => ask('/echo', body)));
    // Compared by hand: a difference of megabytes takes minutes to print.
    expect(replies.map(({ body, status, code }, i) => [status, code, body.length, body.equals(bodies[i]!)])).toEqual(
      bodies.map((body) => [200, 0, body.length, true]),
    );
  });

  it('a reset in the midst of a response', async () => {
    const { status, code } = await ask('/reset');
    expect([status, code]).toEqual([200, http2.constants.NGHTTP2_INTERNAL_ERROR]);
  });
});
