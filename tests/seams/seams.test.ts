/**
 * Against the seams of the request core, on every runtime from one body: a filter that asks a service about requests, one
 * that rewrites responses while they stream, and a protocol of several streams, which feeds both.
 */
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { closeServers, listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { multiStreams, SeamProxy } from './client.ts';

interface Reply {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

const BIG = 32 * 1024 * 1024;
const WORDS = 'quiet words. ';
const STILL = 50;

async function bodyOf(message: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe.each(RUNTIMES)('the seams of the request core on %s', (runtime) => {
  let proxy: SeamProxy;
  /** What reached the application, and the checking service. */
  const received: { path: string; body: string; user: unknown }[] = [];
  const checked: { path: string; body: string }[] = [];
  /** Responses that were given up: paths of the application's, and how many of the service's. */
  const abandoned = { app: new Set<string>(), check: 0 };
  /** Bytes of the endless response that were handed to the application's socket. */
  let poured = 0;

  const app = http.createServer(UPSTREAM, async (request, response) => {
    const path = request.url!;
    response.on('close', () => {
      if (!response.writableFinished) abandoned.app.add(path);
    });
    if (path === '/early') {
      response.end('early');
      return;
    }
    received.push({ path, body: String(await bodyOf(request)), user: request.headers['x-user-id'] });
    if (path === '/none') response.writeHead(204).end();
    else if (path === '/same') response.writeHead(304, { etag: '"a"' }).end();
    else if (path === '/cut') {
      response.writeHead(200, { 'content-length': 100 }).write('half');
      setTimeout(() => response.socket!.resetAndDestroy(), 50);
    } else if (path === '/open') response.write('open');
    else if (path === '/big') pour(response, BIG);
    else if (path === '/unknown') {
      response.write(WORDS);
      response.end(WORDS);
    } else {
      response.writeHead(200, { 'content-length': WORDS.length, 'x-user-seen': String(request.headers['x-user-id']) });
      response.end(request.method === 'HEAD' ? '' : WORDS);
    }
  });
  function pour(response: http.ServerResponse, left: number): void {
    while (left > 0) {
      const size = Math.min(left, 65_536);
      left -= size;
      poured += size;
      if (response.write(Buffer.alloc(size, 'a'))) continue;
      response.once('drain', () => pour(response, left));
      return;
    }
    response.end();
  }
  const check = http.createServer(UPSTREAM, async (request, response) => {
    const path = request.url!.slice('/check'.length);
    const body = String(await bodyOf(request));
    checked.push({ path, body });
    if (path === '/never' || path === '/silence') {
      response.on('close', () => abandoned.check++);
      return;
    }
    if (body.includes('evil')) {
      const cookies = ['a=1', 'b=2'];
      response.writeHead(402, { 'set-cookie': cookies, 'content-type': 'application/octet-stream', 'x-why': 'evil' });
      response.end(Buffer.from([0xff, 0x00, 0xfe]));
    } else response.writeHead(200, { 'x-user-id': 'ann', 'set-cookie': ['s=1', 't=2'] }).end('yes');
  });

  beforeAll(async () => {
    proxy = new SeamProxy(runtime, [await listening(app), await listening(check)]);
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy.stop('SIGKILL');
    closeServers(app, check);
  });

  const ask = (path: string, body = '', method = body === '' ? 'GET' : 'POST'): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const request = http.request(
        { host: '127.0.0.1', port: proxy.ports.http1, path, method, agent: false },
        async (response) =>
          resolve({ status: response.statusCode!, headers: response.headers, body: await bodyOf(response) }),
      );
      request.on('error', reject);
      request.end(body);
    });
  /**
   * Resolves once the application is held back: the proxy has answered `STILL` questions, each in a turn of its event loop in
   * which it also reads what sockets have, and nothing more was poured meanwhile. @returns the bytes that were poured
   */
  const heldBack = async (): Promise<number> => {
    let before = 0;
    for (let still = 0; still < STILL; before = poured) {
      await proxy.state();
      still = poured === before && poured > 0 ? still + 1 : 0;
    }
    return poured;
  };

  describe('a filter that asks a service', () => {
    it('sends it the body, and changes headers both ways', async () => {
      const { status, headers } = await ask('/a', 'good words');
      expect(checked.at(-1)).toEqual({ path: '/a', body: 'good words' });
      expect(received.at(-1)).toEqual({ path: '/a', body: 'good words', user: 'ann' });
      expect([status, headers['set-cookie']]).toEqual([200, ['s=1', 't=2']]);
    });

    it('denies with the status, fields and bytes of the service', async () => {
      const before = received.length;
      const { status, headers, body } = await ask('/b', 'evil words');
      expect([status, headers['x-why'], headers['content-type'], headers['set-cookie'], [...body]]).toEqual([
        402,
        'evil',
        'application/octet-stream',
        ['a=1', 'b=2'],
        [0xff, 0x00, 0xfe],
      ]);
      expect(received).toHaveLength(before);
    });

    it('refuses a body beyond its limit before anyone sees it', async () => {
      const before = [received.length, checked.length];
      expect((await ask('/c', 'x'.repeat(1001))).status).toBe(413);
      expect([received.length, checked.length]).toEqual(before);
    });

    it('fails closed when the service does not answer in time', async () => {
      const before = received.length;
      await proxy.state();
      expect(await ask('/silence')).toMatchObject({ status: 403 });
      const { finished } = await proxy.state();
      expect(finished).toMatchObject([{ responseCode: 403, flags: ['UAEX'], details: 'ext_authz_error' }]);
      expect(received).toHaveLength(before);
    });

    it('is cancelled when the client leaves', async () => {
      const before = abandoned.check;
      const request = http.request({ host: '127.0.0.1', port: proxy.ports.http1, path: '/never', agent: false });
      request.on('error', () => {});
      request.end();
      await until('the service is asked', () => checked.at(-1)?.path === '/never');
      // Gone, and not only half-closed: then it might still read an answer.
      request.socket!.resetAndDestroy();
      await until('the call is given up', () => abandoned.check > before);
      expect((await proxy.state()).finished.at(-1)).toMatchObject({ flags: ['DC'] });
    });
  });

  describe('a filter that rewrites responses', () => {
    it.each(['/known', '/unknown'])('of %s length', async (path) => {
      const { headers, body } = await ask(path);
      expect(String(body)).toBe(WORDS.repeat(path === '/known' ? 1 : 2).toUpperCase());
      expect([headers['content-length'], headers['transfer-encoding']]).toEqual([undefined, 'chunked']);
    });

    it('leaves those without a body as they are', async () => {
      const head = await ask('/a', '', 'HEAD');
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '13', 0]);
      expect(await ask('/none')).toMatchObject({ status: 204 });
      const same = await ask('/same');
      expect([same.status, same.headers.etag, same.headers['transfer-encoding']]).toEqual([304, '"a"', undefined]);
    });

    it('holds the upstream back for a slow client, and gives it all in the end', async () => {
      poured = 0;
      const response = await new Promise<http.IncomingMessage>((resolve) => {
        http.get({ host: '127.0.0.1', port: proxy.ports.http1, path: '/big', agent: false }, resolve);
      });
      // Kernel buffers of two connections hold some MB.
      expect(await heldBack()).toBeLessThan(BIG / 2);
      let bytes = 0;
      let capitals = true;
      for await (const chunk of response) {
        bytes += (chunk as Buffer).length;
        capitals &&= (chunk as Buffer).every((byte) => byte === 0x41);
      }
      expect([bytes, capitals]).toEqual([BIG, true]);
    });
  });

  describe('streams of one connection', () => {
    it('pass the same filters, each for itself', async () => {
      const { client, socket } = await multiStreams(proxy.ports.multi);
      const streams = Array.from({ length: 20 }, (_, i) => {
        const stream = client.request({ path: `/s${i}` }, false);
        client.send(stream, Buffer.from(i % 4 === 0 ? 'evil' : `body${i}`), true);
        return stream;
      });
      await client.until(() => streams.every((one) => one.ended));
      for (const [i, stream] of streams.entries()) {
        expect(stream.status).toBe(i % 4 === 0 ? 402 : 200);
        if (i % 4 === 0) continue;
        expect([stream.body, stream.header('x-user-seen')]).toEqual([WORDS.toUpperCase(), 'ann']);
        expect(received.find(({ path }) => path === `/s${i}`)?.body).toBe(`body${i}`);
      }
      socket.destroy();
    });

    it('a slow one is held back alone, in bounded memory', async () => {
      const { client, socket } = await multiStreams(proxy.ports.multi);
      poured = 0;
      const { rss } = await proxy.state();
      const slow = Array.from({ length: 2 }, () => client.request({ path: '/big' }));
      for (const one of slow) client.slowDown(one);
      expect(await heldBack()).toBeLessThan(BIG);
      const quick = client.request({ path: '/quick' });
      await client.until(() => quick.ended);
      expect([quick.body, slow[0]!.bytes <= 65_536, slow[0]!.ended]).toEqual([WORDS.toUpperCase(), true, false]);
      expect((await proxy.state()).rss - rss).toBeLessThan(BIG);
      for (const one of slow) client.hurry(one);
      await client.until(() => slow.every((one) => one.ended));
      expect(slow.map((one) => one.bytes)).toEqual([BIG, BIG]);
      socket.destroy();
    });

    it('resets pass both ways, and end one stream alone', async () => {
      const { client, socket } = await multiStreams(proxy.ports.multi);
      const [open, kept, cut, early] = [
        client.request({ path: '/open' }),
        client.request({ path: '/unknown' }),
        client.request({ path: '/cut' }),
        client.request({ path: '/early' }, false),
      ];
      client.send(early!, Buffer.from('x'), true);
      await client.until(() => open!.body === 'OPEN' && kept!.ended && early!.ended && cut!.reset !== undefined);
      expect([cut!.body, cut!.ended, cut!.reset]).toEqual(['HALF', false, 'local_reset']);
      client.reset(open!, 'remote_reset');
      await until('the application is given up', () => abandoned.app.has('/open'));
      const { finished } = await proxy.state();
      expect(finished.find(({ path }) => path === '/open')).toMatchObject({ flags: ['DR'] });
      expect(finished.find(({ path }) => path === '/cut')).toMatchObject({ flags: ['UC'] });
      const again = client.request({ path: '/unknown' });
      await client.until(() => again.ended);
      socket.destroy();
    });

    it('a connection that drains serves what is open, and nothing is left', async () => {
      const { client } = await multiStreams(proxy.ports.multi);
      const open = client.request({ path: '/big' });
      client.slowDown(open);
      await client.until(() => open.head !== undefined);
      await proxy.state('drain');
      await client.until(() => client.goaway);
      const late = client.request({ path: '/late' });
      await client.until(() => late.reset !== undefined);
      client.hurry(open);
      await client.until(() => client.closed);
      expect([open.bytes, open.ended, late.reset]).toEqual([BIG, true, 'refused_stream']);
      await until('all connections are gone', async () => {
        const { connections, requests } = await proxy.state();
        return connections === 0 && requests === 0;
      });
      expect(proxy.errors).toBe('');
    });
  });
});
