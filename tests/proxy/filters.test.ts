/** Filters that read bodies, call other services and change responses, over sockets, on every runtime from one body. */
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { cluster, hcm, listener } from './bootstrap.ts';
import { DrivenProxy } from './driven.ts';
import { JUDGED_BYTES } from './test-filters.ts';

interface Reply {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

describe.each(RUNTIMES)('filters on %s', (runtime) => {
  let proxy: DrivenProxy;
  let port = 0;
  /** What the application was sent: path and body. */
  const received: string[] = [];
  /** What the judge was shown. */
  const judged: string[] = [];
  let judgeCloses = 0;
  const bodyOf = async (request: http.IncomingMessage) => {
    let body = '';
    for await (const bytes of request) body += bytes;
    return body;
  };
  const app = http.createServer(UPSTREAM, async (request, response) => {
    received.push(`${request.url} ${await bodyOf(request)} ${request.headers['x-judged-by'] ?? '-'}`);
    const text = 'quiet words. '.repeat(request.url === '/long' ? 50_000 : 1);
    response.writeHead(200, { 'x-shout': request.url === '/plain' ? 'no' : 'yes', 'content-length': text.length });
    response.end(request.method === 'HEAD' ? '' : text);
  });
  const judge = http.createServer(UPSTREAM, async (request, response) => {
    const body = await bodyOf(request);
    judged.push(`${request.headers['x-path']} ${body}`);
    if (request.headers['x-path'] === '/never') {
      response.on('close', () => judgeCloses++);
      return;
    }
    response.writeHead(body.includes('evil') ? 403 : 200, { 'x-judge': 'j1' }).end('verdict');
  });

  beforeAll(async () => {
    const [appPort, judgePort] = [await listening(app), await listening(judge)];
    proxy = new DrivenProxy(runtime, 1000, true);
    const { ports } = await proxy.apply({
      clusters: { upsert: [cluster('app', appPort), cluster('judge', judgePort)], remove: [] },
      listeners: { upsert: [listener('web', [hcm('app')])], remove: [] },
    });
    port = ports['web']!;
  });
  afterAll(async () => {
    await proxy.stop('SIGKILL');
    for (const server of [app, judge]) {
      server.close();
      server.closeAllConnections();
    }
  });

  const ask = (path: string, body = '', method = body === '' ? 'GET' : 'POST'): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port, path, method, agent: false }, async (response) => {
        resolve({ status: response.statusCode!, headers: response.headers, body: await bodyOf(response) });
      });
      request.on('error', reject);
      request.end(body);
    });

  it('a service judges the whole body, and headers change in both directions', async () => {
    const { status, headers, body } = await ask('/a', 'good words');
    expect([status, headers['x-was-judged-by'], body]).toEqual([200, 'j1', 'QUIET WORDS. ']);
    expect(judged.at(-1)).toBe('/a good words');
    expect(received.at(-1)).toBe('/a good words j1');
  });

  it('what it refuses reaches no one', async () => {
    const before = received.length;
    expect(await ask('/b', 'evil words')).toMatchObject({ status: 403, body: 'refused' });
    expect(received).toHaveLength(before);
  });

  it('a body that is too long is refused before anyone sees it', async () => {
    const before = [received.length, judged.length];
    expect((await ask('/c', 'x'.repeat(JUDGED_BYTES + 1))).status).toBe(413);
    expect([received.length, judged.length]).toEqual(before);
    expect((await ask('/c', 'x'.repeat(JUDGED_BYTES))).status).toBe(200);
  });

  it('bodies of responses are changed while they stream, or pass', async () => {
    const long = await ask('/long');
    expect(long.headers['content-length']).toBeUndefined();
    expect(long.body).toBe('QUIET WORDS. '.repeat(50_000));
    const plain = await ask('/plain');
    expect([plain.body, plain.headers['content-length']]).toEqual(['quiet words. ', '13']);
    const head = await ask('/a', '', 'HEAD');
    expect([head.status, head.body, head.headers['x-was-judged-by']]).toEqual([200, '', 'j1']);
  });

  it('a client that leaves ends the call that its request waits for', async () => {
    const request = http.request({ host: '127.0.0.1', port, path: '/never', agent: false });
    request.on('error', () => {});
    request.end();
    await until('the judge is asked', () => judged.at(-1) === '/never ' || undefined);
    // A FIN alone is no leave: a half-closed client may still read its answer.
    request.socket!.resetAndDestroy();
    // In less than the time that the judge has.
    await until('the call is given up', () => judgeCloses > 0 || undefined, 15_000);
  });
});
