/** What pushes do to connections that are open, from one body on every runtime. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { cluster, hcm, listener, tcp } from './bootstrap.ts';
import { DrivenProxy } from './driven.ts';

const DRAIN_MS = 1500;
const websocketHcm = (to: string, more: object = {}) => {
  const filter = hcm(to);
  return {
    ...filter,
    typed_config: { ...filter.typed_config, upgrade_configs: [{ upgrade_type: 'websocket' }], ...more },
  };
};
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const open = (port: number): Promise<net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1' }, () => resolve(socket));
    socket.on('error', reject);
  });
const next = (socket: net.Socket): Promise<string> =>
  new Promise((resolve, reject) => {
    socket.once('data', (bytes) => resolve(bytes.toString('latin1')));
    socket.once('close', () => reject(new Error('closed')));
  });
const say = (socket: net.Socket, text: string) => {
  const answer = next(socket);
  socket.write(text);
  return answer;
};
const gone = (socket: net.Socket) =>
  new Promise<void>((resolve) => (socket.destroyed ? resolve() : socket.once('close', () => resolve()).resume()));

describe.each(RUNTIMES)('pushes on %s', (runtime) => {
  let proxy: DrivenProxy;
  let app: http.Server;
  let echo: net.Server;
  let appPort = 0;
  let echoPort = 0;
  let slow: http.ServerResponse | undefined;
  let ports: Record<string, number>;

  beforeAll(async () => {
    app = http.createServer(UPSTREAM, (request, response) => {
      if (request.url === '/slow') {
        response.write('first;');
        slow = response;
      } else response.end('app');
    });
    app.on('upgrade', (request, socket) => {
      const key = request.headers['sec-websocket-key'];
      const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
      );
      socket.on('data', (bytes) => socket.write(bytes));
      socket.on('end', () => socket.end());
      socket.on('error', () => {});
    });
    echo = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    [appPort, echoPort] = [await listening(app), await listening(echo)];
    proxy = new DrivenProxy(runtime, DRAIN_MS);
    ({ ports } = await proxy.apply({
      clusters: { upsert: [cluster('app', appPort), cluster('echo', echoPort)], remove: [] },
      listeners: {
        upsert: [
          listener('web', [websocketHcm('app')]),
          listener('raw', [tcp('echo')]),
          listener('other', [websocketHcm('app')]),
          listener('other-raw', [tcp('echo')]),
          listener('leaving', [websocketHcm('app')]),
          listener('leaving-raw', [tcp('echo')]),
        ],
        remove: [],
      },
    }));
  });

  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    echo.close();
  });

  const websocket = async (port: number) => {
    const socket = await open(port);
    const answer = await say(
      socket,
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    expect(answer).toContain('101 Switching Protocols');
    expect(answer).toContain('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    return socket;
  };

  it('leaves connections of an unchanged listener alone, through a hundred pushes', async () => {
    const tunnel = await websocket(ports['web']!);
    const stream = await open(ports['raw']!);
    const kept = await open(ports['web']!);
    for (let push = 0; push < 100; push++) {
      await proxy.apply({
        clusters: { upsert: [cluster('app', appPort), cluster('echo', echoPort)], remove: [] },
        listeners: {
          upsert: [
            listener('web', [websocketHcm('app')]),
            listener('raw', [tcp('echo')]),
            // One listener changes each time.
            listener('other', [websocketHcm('app', { server_name: `v${push}` })]),
          ],
          remove: [],
        },
      });
      if (push % 20 > 0) continue;
      expect(await say(tunnel, `frame ${push}`)).toBe(`frame ${push}`);
      expect(await say(stream, `bytes ${push}`)).toBe(`bytes ${push}`);
      expect(await say(kept, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toContain('200 OK');
    }
    expect(await say(tunnel, 'still here')).toBe('still here');
    expect(await say(stream, 'still here')).toBe('still here');
    expect((await proxy.state()).ports['web']).toBe(ports['web']);
    for (const socket of [tunnel, stream, kept]) socket.destroy();
    await until('all are gone', async () => (await proxy.state()).active === 0);
  });

  it('lets a changed listener finish what is under way, and cuts what outstays the drain time', async () => {
    const tunnel = await websocket(ports['other']!);
    const stream = await open(ports['other-raw']!);
    expect(await say(stream, 'x')).toBe('x');
    const busy = await open(ports['other']!);
    expect(await say(busy, 'GET /slow HTTP/1.1\r\nhost: a\r\n\r\n')).toContain('first;');
    await proxy.apply({
      listeners: {
        upsert: [
          listener('other', [websocketHcm('app', { server_name: 'changed' })]),
          listener('other-raw', [tcp('app')]),
        ],
        remove: [],
      },
    });
    const fresh = await open(ports['other']!);
    expect(await say(fresh, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toMatch(/server: changed/);
    expect(await say(tunnel, 'in flight')).toBe('in flight');
    expect(await say(stream, 'in flight')).toBe('in flight');
    const rest = next(busy);
    slow!.end('last');
    expect(await rest).toContain('last');
    await gone(stream);
    for (const socket of [tunnel, fresh, busy]) socket.destroy();
  });

  it('lets a removed listener finish, and refuses who comes then', async () => {
    const tunnel = await websocket(ports['leaving']!);
    const stream = await open(ports['leaving-raw']!);
    expect(await say(stream, 'x')).toBe('x');
    const busy = await open(ports['leaving']!);
    expect(await say(busy, 'GET /slow HTTP/1.1\r\nhost: a\r\n\r\n')).toContain('first;');
    const idle = await open(ports['leaving']!);
    const after = await proxy.apply({ listeners: { upsert: [], remove: ['leaving', 'leaving-raw'] } });
    expect(after.ports).not.toHaveProperty('leaving');
    await gone(idle);
    await expect(open(ports['leaving']!)).rejects.toThrow(/ECONNREFUSED/);
    expect(await say(tunnel, 'in flight')).toBe('in flight');
    expect(await say(stream, 'in flight')).toBe('in flight');
    const rest = next(busy);
    slow!.end('last');
    expect(await rest).toContain('last');
    await Promise.all([gone(tunnel), gone(stream), gone(busy)]);
  });
});
