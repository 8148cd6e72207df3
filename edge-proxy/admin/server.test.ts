import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeRuntime } from '../runtime/node.ts';
import type { Listening } from '../runtime/runtime.ts';
import { serveAdmin } from './server.ts';

describe('serveAdmin', () => {
  let listening: Listening;
  beforeEach(async () => {
    listening = await serveAdmin(
      nodeRuntime(),
      '127.0.0.1',
      0,
      async (request) => {
        if (request.url.endsWith('/boom')) throw new Error('boom');
        if (/\/(metrics|stats)/.test(request.url)) return new Response('a'.repeat(10_000));
        return new Response(`${request.method} ${new URL(request.url).pathname} é`, { status: 404 });
      },
      true,
    );
  });
  afterEach(() => listening.close());

  async function exchange(request: string): Promise<string> {
    const socket = connect(listening.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(request);
    return await text(socket);
  }

  it('answers one request and closes', async () => {
    const url = `http://127.0.0.1:${listening.port}/x?y=1`;
    const answer = await fetch(url, { method: 'POST', body: 'hello' });
    expect([answer.status, await answer.text()]).toEqual([404, 'POST /x é']);
    const raw = await exchange('GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(raw.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(raw).toContain('connection: close\r\n');
  });

  it('answers HEAD without a body and HTTP/1.0 probes', async () => {
    const head = await exchange('HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(head).toContain('content-length: 9\r\n');
    expect(head.endsWith('\r\n\r\n')).toBe(true);
    expect(await exchange('GET /a HTTP/1.0\r\n\r\n')).toContain('GET /a é');
  });

  it('compresses metrics for clients that accept it, and nothing else', async () => {
    const raw = (path: string, accepted: string) =>
      exchange(`GET ${path} HTTP/1.1\r\nhost: x\r\n${accepted && `accept-encoding: ${accepted}\r\n`}\r\n`);
    for (const path of ['/metrics', '/stats', '/stats/prometheus']) {
      expect(await raw(`${path}?usedonly`, 'br, gzip;q=0.5')).toContain('\r\ncontent-encoding: gzip\r\n');
      expect(await raw(path, '*')).toContain('\r\ncontent-encoding: gzip\r\n');
      for (const accepted of ['', 'br', 'gzip;q=0, *', 'gzip;q=nothing', 'identity'])
        expect(await raw(path, accepted)).toMatch(/^(?!.*content-encoding).*\r\nvary: accept-encoding\r\n.*a{9}$/s);
      const read = await fetch(`http://127.0.0.1:${listening.port}${path}`);
      expect([read.headers.get('content-encoding'), await read.text()]).toEqual(['gzip', 'a'.repeat(10_000)]);
      expect(Number(read.headers.get('content-length'))).toBeLessThan(200);
    }
    expect(await raw('/config_dump', 'gzip')).not.toContain('content-encoding');
    const off = await serveAdmin(nodeRuntime(), '127.0.0.1', 0, async () => new Response('a'.repeat(100)), false);
    const plain = await fetch(`http://127.0.0.1:${off.port}/metrics`);
    expect([plain.headers.get('content-encoding'), await plain.text()]).toEqual([null, 'a'.repeat(100)]);
    await off.close();
  });

  it('refuses what is not HTTP, and does not show internal errors', async () => {
    expect(await exchange('nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await exchange('GET /boom HTTP/1.1\r\nhost: x\r\n\r\n')).not.toContain('boom');
  });
});
