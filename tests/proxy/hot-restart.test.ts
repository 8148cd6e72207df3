/** A proxy is replaced by another process on its listening sockets, under load, on every runtime. */
import { rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LINUX, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { at, cluster, hcm, listener, tcp } from './bootstrap.ts';
import { SERVICE_MANAGER, ServiceManager } from './service-manager.ts';

describe.skipIf(!LINUX || !SERVICE_MANAGER).each(RUNTIMES)('a proxy that is replaced on %s', (runtime) => {
  const folder = temporaryFolder();
  const config = join(folder.path, 'proxy.json');
  let manager: ServiceManager;
  let proxy: ProxyProcess;
  let app: http.Server;
  let echo: net.Server;
  let ports: number[];
  let upstreams: number[];
  /** Ends the response that is under way. */
  let finish: (() => void) | undefined;

  const bootstrap = (extra: readonly object[] = [listener('gone', [hcm('app')], undefined, ports[2])]) => {
    const [web, raw] = ports;
    return {
      static_resources: {
        listeners: [
          listener('web', [hcm('app')], undefined, web),
          listener('raw', [tcp('echo')], undefined, raw),
          ...extra,
        ],
        clusters: [cluster('app', upstreams[0]!), cluster('echo', upstreams[1]!)],
      },
      admin: { address: at(ports[3]!) },
    };
  };
  const start = async (flags: readonly string[] = [], run?: typeof manager.run) => {
    proxy = new ProxyProcess(
      runtime,
      config,
      bootstrap(),
      ['--drain-time-seconds', '60', ...flags],
      run ?? manager.run,
    );
    await proxy.ready();
  };
  /** Of the process that answers at the admin port now. */
  const hotRestart = () => proxy.admin('/hot_restart', 'POST');

  beforeAll(async () => {
    manager = new ServiceManager();
    await manager.start();
  });
  afterAll(async () => {
    await manager.stop();
    folder.dispose();
  });
  beforeEach(async () => {
    ports = await freePorts(4);
    finish = undefined;
    app = http.createServer(UPSTREAM, (request, response) => {
      if (request.url === '/long') {
        response.write('begin');
        finish = () => response.end('end');
      } else response.end('ok');
    });
    echo = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
    upstreams = [await listening(app), await listening(echo)];
  });
  afterEach(async () => {
    const last = manager.mainPids.at(-1);
    if (last !== undefined && proxy && !proxy.ended) process.kill(last, 'SIGTERM');
    await proxy?.stop();
    app.closeAllConnections();
    app.close();
    echo.close();
  });

  it('fails no request, and lets streams live', { timeout: 150_000 }, async () => {
    await start();
    const [web, raw, gone] = ports;
    const stream = net.connect(raw!, '127.0.0.1');
    let echoed = '';
    stream.on('error', () => {}).on('data', (bytes) => (echoed += bytes));
    let long = '';
    http.get({ port: web, host: '127.0.0.1', path: '/long' }, (response) =>
      response.on('data', (part) => (long += part)),
    );
    await until('the response has begun', () => long === 'begin');

    const load = new Load(web!);
    await until('there is load', () => load.answered > 50);
    // The configuration has changed in the meantime: one listener less.
    writeFileSync(config, JSON.stringify(bootstrap([])));
    for (let restart = 1; restart <= 3; restart++) {
      const before = load.answered;
      expect(await hotRestart()).toEqual({ status: 200, body: 'OK\n' });
      await until('the next one serves', () => load.answered > before + 100);
    }
    expect(new Set(manager.mainPids).size).toBe(4);
    const { answered, failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(350);

    // The first process lives for its streams: new connections come to the last one.
    expect(proxy.process.exitCode).toBeNull();
    stream.write('still there');
    await until('the stream is served', () => echoed === 'still there');
    finish!();
    await until('the response ends', () => long === 'beginend');
    stream.end();
    await until('the first process has ended', () => proxy.process.exitCode === 0);
    expect(await get(web!)).toBe('ok');
    await expect(get(gone!)).rejects.toThrow('ECONNREFUSED');
    process.kill(manager.mainPids.at(-1)!, 'SIGTERM');
    await proxy.exited;
  });

  it('stays where its successor does not become ready', { timeout: 60_000 }, async () => {
    await start();
    const first = proxy.process.pid!;
    await until('it is the main process', () => manager.mainPids.at(-1) === first);
    rmSync(config);
    const { status, body } = await hotRestart();
    expect([status, body]).toEqual([
      503,
      expect.stringMatching(/did not take over: it ended with 1; its lines in the log/),
    ]);
    expect(proxy.lines.join('\n')).toMatch(/hot restart: this process stays: /);
    expect(await get(ports[0]!)).toBe('ok');
    expect(manager.mainPids.at(-1)).toBe(first);
    await proxy.stop();
    expect(proxy.process.exitCode).toBe(0);
  });

  it('says why it cannot be replaced', { timeout: 60_000 }, async () => {
    await start([], (command) => ['env', '-u', 'NOTIFY_SOCKET', ...command]);
    expect(await hotRestart()).toMatchObject({
      status: 503,
      body: expect.stringMatching(/no service manager follows/),
    });
    expect(await get(ports[0]!)).toBe('ok');
    await proxy.stop();
  });
});

const get = (port: number, agent?: http.Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = http.get({ port, host: '127.0.0.1', path: '/', agent: agent ?? false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('end', () => resolve(text)).once('error', reject);
    });
    call.once('error', reject);
  });

/** Requests one after another on kept and on new connections. */
class Load {
  answered = 0;
  private readonly failures: string[] = [];
  private stopped = false;
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  private readonly loops: Promise<void>[];

  constructor(port: number) {
    this.loops = [...Array(4).fill(this.agent), ...Array(4).fill(undefined)].map((agent) => this.loop(port, agent));
  }

  private async loop(port: number, agent: http.Agent | undefined): Promise<void> {
    while (!this.stopped)
      await get(port, agent).then(
        (body) => {
          this.answered++;
          if (body !== 'ok') this.failures.push(`answered ${body}`);
        },
        (error: Error) => this.failures.push(`${agent ? 'kept' : 'new'} connection: ${error.message}`),
      );
  }

  async stop(): Promise<{ answered: number; failures: string[] }> {
    this.stopped = true;
    await Promise.all(this.loops);
    this.agent.destroy();
    return { answered: this.answered, failures: this.failures };
  }
}
