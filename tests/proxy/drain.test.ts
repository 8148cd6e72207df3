/** How a proxy goes: SIGTERM as an operator or Kubernetes sends it, and listeners that go while it stays; on every runtime. */
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { at, cluster, hcm, listener, tcp } from './bootstrap.ts';

/** More than any test here waits for: an exit before it is one that did not wait for it. */
const LONG_DRAIN = 120;

describe.each(RUNTIMES)('a proxy that is ended on %s', (runtime) => {
  const folder = temporaryFolder();
  let proxy: ProxyProcess;
  let app: http.Server;
  let echo: net.Server;
  /** Answers what was asked of the application. */
  let answer: (() => void) | undefined;

  const start = async (flags: readonly string[]) => {
    proxy = new ProxyProcess(
      runtime,
      join(folder.path, 'proxy.json'),
      {
        static_resources: {
          listeners: [
            listener('web', [hcm('app')]),
            { ...listener('steady', [hcm('app')]), drain_type: 'MODIFY_ONLY' },
            listener('raw', [tcp('echo')]),
          ],
          clusters: [cluster('app', await listening(app)), cluster('echo', await listening(echo))],
        },
        admin: { address: at(0) },
      },
      flags,
    );
    await proxy.ready();
  };
  beforeEach(() => {
    answer = undefined;
    app = http.createServer(UPSTREAM, (request, response) => {
      if (request.url === '/later') answer = () => response.end('late');
      else response.end('at once');
    });
    echo = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
  });
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    echo.close();
  });
  afterAll(() => folder.dispose());

  /** A client's connection and all it was sent. */
  class Client {
    readonly socket: net.Socket;
    got = '';
    closed = false;
    constructor(name: string) {
      this.socket = net.connect({ port: proxy.ports[name]!, host: '127.0.0.1' });
      this.socket.on('error', () => {});
      this.socket.on('data', (bytes) => (this.got += bytes));
      this.socket.on('close', () => (this.closed = true));
    }
    get(path: string): void {
      this.socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    }
  }
  const exited = () => until('it has ended', () => proxy.ended);

  it('lets a request finish, ends idle connections at once, and goes when all is done', async () => {
    await start(['--drain-seconds', String(LONG_DRAIN)]);
    const idle = new Client('web');
    idle.get('/');
    await until('it has been served', () => idle.got.endsWith('at once'));
    expect(idle.got).not.toContain('connection: close');
    const busy = new Client('web');
    busy.get('/later');
    await until('the request is under way', () => answer);
    proxy.process.kill('SIGTERM');
    await until('it is not ready', async () => (await proxy.admin('/ready')).status === 503);
    expect((await proxy.admin('/live')).status).toBe(200);
    await until('the idle connection has ended', () => idle.closed);
    await until('no client is accepted', async () => {
      const late = new Client('web');
      await until('it is refused', () => late.closed);
      return late.got === '';
    });
    expect(busy.closed).toBe(false);
    // A second signal does not shorten the drain.
    proxy.process.kill('SIGTERM');
    expect((await proxy.admin('/ready')).body).toBe('DRAINING\n');
    answer!();
    await until('the answer is there, and its connection gone', () => busy.closed);
    expect(busy.got).toMatch(/^HTTP\/1\.1 200 OK\r\n.*connection: close\r\n.*late$/s);
    await exited();
    expect(proxy.process.exitCode).toBe(0);
  });

  it('cuts what outstays the deadline', async () => {
    await start(['--drain-seconds', '1']);
    const stream = new Client('raw');
    stream.socket.write('hello');
    await until('the stream is open', () => stream.got === 'hello');
    const busy = new Client('web');
    busy.get('/later');
    await until('the request is under way', () => answer);
    const begun = performance.now();
    proxy.process.kill('SIGTERM');
    await exited();
    expect(performance.now() - begun).toBeGreaterThan(900);
    expect(proxy.process.exitCode).toBe(0);
    await until('both are closed', () => stream.closed && busy.closed);
    expect(busy.got).toBe('');
  });

  it('stays while only its health checks fail: answers end their connections, but for listeners that only drain when modified', async () => {
    await start([]);
    const ask = async (name: string) => {
      const client = new Client(name);
      client.get('/');
      await until('it is served', () => client.got.endsWith('at once'));
      client.socket.destroy();
      return client.got.includes('connection: close');
    };
    expect([await ask('web'), await ask('steady')]).toEqual([false, false]);
    await proxy.admin('/healthcheck/fail', 'POST');
    expect([await ask('web'), await ask('steady')]).toEqual([true, false]);
    await proxy.admin('/healthcheck/ok', 'POST');
    expect([await ask('web'), await ask('steady')]).toEqual([false, false]);
  });

  it('lets requests through while listeners drain, and closes their sockets after the drain time', async () => {
    await start(['--drain-time-seconds', '2']);
    const begun = performance.now();
    await proxy.admin('/drain_listeners?graceful', 'POST');
    const client = new Client('steady');
    client.get('/');
    await until('it is served', () => client.closed);
    // On a machine that took the drain time to get here there is nothing to see.
    if (performance.now() - begun < 1500) expect(client.got).toMatch(/connection: close\r\n.*at once$/s);
    await until('its sockets are closed', async () => {
      const late = new Client('steady');
      late.get('/');
      await until('it is over', () => late.closed);
      return late.got === '';
    });
    expect((await proxy.admin('/live')).status).toBe(200);
  });
});
