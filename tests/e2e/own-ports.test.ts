/** An application and its sidecar on one host, without capture: on the same ports, and with the application away. */
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { LINUX, ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import type { Program } from '../kit/process.ts';
import { meshService, port, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { get } from './shop-mesh.ts';

/** Listens as its arguments say (`http:127.0.0.1:80`, `redis:0.0.0.0:6379`), and writes its environment and what failed. */
const APP = `
const listen = (kind, host, port) => {
  const server = kind === 'http' ? require('node:http').createServer((_, answer) => answer.end('from ' + port))
    : require('node:net').createServer((socket) => socket.on('error', () => {}).end('+PONG\\r\\n'));
  return new Promise((done) => server.once('error', (error) => done(error.code)).listen(port, host, () => done('ok')));
};
const wanted = process.argv.slice(1).map((word) => /^(\\w+):(.+):(\\d+)$/.exec(word).slice(1));
Promise.all(wanted.map(([kind, host, port]) => listen(kind, host, Number(port)))).then((results) =>
  console.log('app: ' + JSON.stringify({ results, proxy: process.env.http_proxy, outbound: process.env.TULLE_OUTBOUND_ADDRESS })));
process.on('SIGTERM', () => process.exit(0));
setInterval(() => {}, 1000);
`;

interface Started {
  results: string[];
  /** Of the sidecar for HTTP proxy requests. */
  proxyPort: number;
  /** What it asks its clients for. */
  authorization: string;
  /** Where it listens for calls to other services. */
  outbound: string;
  adminPort: number;
  part: Program;
}

/** What comes until the connection ends, after `PING` was sent. */
function ping(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = net.connect(port, host, () => socket.write('PING\r\n'));
    socket.on('data', (bytes) => (received += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

describe.skipIf(!LINUX)('an application beside its sidecar', () => {
  const mesh = new LoopbackMesh();
  beforeAll(() => mesh.startControl());
  afterAll(() => mesh.stop(), 120_000);

  async function run(runtime: RuntimeName, name: string, ip: string, flags: string[], app: string[]): Promise<Started> {
    const [adminPort] = await freePorts(1);
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`, 'run'];
    const from = ['--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile];
    const own = ['--data', `${mesh.folder}/${name}`, '--service-account', name, '--labels', `app=${name}`, '--ip', ip];
    const more = ['--admin-port', `${adminPort}`, '--drain-seconds', '1', ...flags];
    const part = mesh.launch(name, [...command, ...from, ...own, ...more, '--', nodeBinary(), '-e', APP, ...app], {
      TULLE_JOIN_TOKEN: await mesh.joinToken(name),
    });
    const line = await part.line((text) => (text.startsWith('app: ') ? text.slice(5) : undefined));
    const { results, proxy, outbound } = JSON.parse(line) as { results: string[]; proxy: string; outbound: string };
    const { port, username, password } = new URL(proxy);
    const authorization = `Basic ${btoa(`${username}:${password}`)}`;
    return { results, proxyPort: Number(port), authorization, outbound, adminPort: adminPort!, part };
  }

  const service = (name: string, number: number, protocol: string, selects: string) =>
    meshService(name, [port(number, protocol, name)], selects);

  it.each(RUNTIMES)(
    'starts on its service’s port, and nothing comes back to the sidecar where it is away (%s)',
    async (runtime) => {
      const [server, absent, caller] = [`server-${runtime}`, `absent-${runtime}`, `caller-${runtime}`];
      const ips = [mesh.address(), mesh.address(), mesh.address()] as const;
      const [same, all, redis, mapped] = (await freePorts(4)) as [number, number, number, number];
      const [awayHttp, awayRedis] = (await freePorts(2)) as [number, number];
      const resources = [
        service(`same-${runtime}`, same, 'HTTP', server),
        service(`all-${runtime}`, all, 'HTTP', server),
        service(`redis-${runtime}`, redis, 'REDIS', server),
        service(`away-http-${runtime}`, awayHttp, 'HTTP', absent),
        service(`away-redis-${runtime}`, awayRedis, 'REDIS', absent),
        workloadEntry(server, ips[0], { ports: { [`all-${runtime}`]: mapped } }),
        workloadEntry(absent, ips[1]),
      ];
      await mesh.apply(yaml(...resources));
      const started = await run(
        runtime,
        server,
        ips[0],
        ['--app-port', `all-${runtime}=${all}`],
        [`http:127.0.0.1:${same}`, `http:0.0.0.0:${all}`, `redis:127.0.0.1:${redis}`],
      );
      expect(started.results).toEqual(['ok', 'ok', 'ok']);
      const away = await run(runtime, absent, ips[1], [], []);
      const client = await run(runtime, caller, ips[2], [], []);
      expect(client.outbound).toMatch(/^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+$/);
      const call = (through: Started, name: string, port: number) =>
        get({
          host: '127.0.0.1',
          port: through.proxyPort,
          path: `http://${name}-${runtime}:${port}/`,
          headers: { host: `${name}-${runtime}:${port}`, 'proxy-authorization': through.authorization },
        });
      for (const [name, port] of [
        ['same', same],
        ['all', all],
      ] as const) {
        const answer = await until(`${name} answers`, async () => {
          const found = await call(client, name, port);
          return found.status === 200 && found;
        });
        expect(answer.body).toBe(`from ${port}`);
      }
      await until('redis answers', async () => (await ping(client.outbound, redis)) === '+PONG\r\n');

      const admin = async ({ adminPort }: Started, path: string) =>
        (await get({ host: '127.0.0.1', port: adminPort, path })).body;
      const refused = async (of: Started) =>
        Number(/connect_refused (\d+)/.exec(await admin(of, '/stats/prometheus'))?.[1]);
      const descriptors = () => readdirSync(`/proc/${away.part.process.pid}/fd`).length;
      const before = descriptors();
      for (let i = 0; i < 20; i++) {
        expect((await call(client, 'away-http', awayHttp)).status).toBe(503);
        expect(await ping(client.outbound, awayRedis)).toBe('');
      }
      // One sidecar keeps a connection to the other; nothing else is left, and nothing went out from the called machine.
      await until('the connections are closed', () => descriptors() <= before + 10);
      expect(await admin(away, '/stats/prometheus')).not.toContain('reporter="source"');
      expect(await refused(away)).toBe(0);

      // Through its own HTTP proxy a workload would come to its own listener.
      expect((await call(away, 'away-http', awayHttp)).status).toBe(503);
      expect((await call(started, 'same', same)).status).toBe(503);
      expect(await refused(started)).toBeGreaterThan(0);
      // Sidecars of another workload know nothing of this host's other applications.
      for (const { part } of [client, away, started]) expect(await part.stop()).toBe(0);
      await mesh.remove(yaml(...resources));
    },
  );
});
