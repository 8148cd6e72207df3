/**
 * Stock Envoys as proxies of the mesh, beside an agent (`tulle envoy`): a server's sidecar, a client's, and a gateway, with proxies
 * of ours on the other side of each connection. What Envoy refuses is reported by name, and an Envoy that dies comes back.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { ENVOY } from '../kit/envoy.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import {
  authorizationPolicy,
  gateway,
  meshService,
  peerAuthentication,
  port,
  versions,
  virtualService,
  workloadEntry,
  yaml,
} from '../kit/resources.ts';
import { closeServers } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Answer, get, PRINCIPAL } from './shop-mesh.ts';

const ECHO = `${ROOT}/tests/e2e/echo.ts`;
const AGENT = ['--envoy-path', ENVOY ?? '', '--'];
const ENVOY_ARGS = ['--concurrency', '1', '-l', 'warning', '--reject-unknown-dynamic-fields', '--drain-time-s', '1'];

const RESOURCES = [
  meshService('web'),
  versions('web', 'envoy', 'tulle'),
  peerAuthentication('STRICT'),
  virtualService('web', {
    hosts: ['web'],
    http: [
      {
        match: [{ headers: { 'x-to': { exact: 'envoy' } } }],
        route: [{ destination: { host: 'web', subset: 'envoy' } }],
      },
      { route: [{ destination: { host: 'web', subset: 'tulle' } }] },
    ],
  }),
  authorizationPolicy('web', 'web', {
    action: 'DENY',
    rules: [{ from: [{ source: { principals: ['cluster.local/ns/default/sa/stranger'] } }] }],
  }),
  gateway('ingress', 'ingress', { port: port(8080), hosts: ['web.test'] }),
  virtualService('ingress', {
    hosts: ['web.test'],
    gateways: ['ingress'],
    http: [{ route: [{ destination: { host: 'web', subset: 'tulle' } }] }],
  }),
];

describe.skipIf(!ENVOY).each(RUNTIMES)('Envoys beside an agent on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  const occupants: Server[] = [];
  let ingress: string;

  const add = async (name: string, app: string, options: { envoy?: boolean; serves?: boolean } = {}) => {
    const address = mesh.address();
    const version = options.envoy ? 'envoy' : 'tulle';
    const labels = { app, version };
    await mesh.apply(yaml(workloadEntry(name, address, { app, labels })));
    return mesh.start(
      {
        ...{ name, serviceAccount: app, labels, runtime },
        ...(options.serves && { app: [ECHO, '{port}'] }),
        ...(options.envoy && { flags: [...AGENT, ...ENVOY_ARGS] }),
      },
      address,
    );
  };
  const call = (client: string, headers: Record<string, string> = {}, path = '/'): Promise<Answer> => {
    const { httpProxyPort } = mesh.workloads.get(client)!;
    const host = 'web:9080';
    return get({
      host: '127.0.0.1',
      port: httpProxyPort,
      path: `http://${host}${path}`,
      headers: { host, ...headers },
    });
  };
  const callerSeen = (answer: Answer) =>
    /URI=([^;,]+)/.exec(
      answer.json<{ headers: Record<string, string> }>().headers['x-forwarded-client-cert'] ?? '',
    )?.[1];

  beforeAll(async () => {
    await mesh.startControl();
    await mesh.apply(yaml(...RESOURCES));
    ingress = mesh.address();
    await Promise.all([
      add('web-envoy', 'web', { envoy: true, serves: true }),
      add('web-tulle', 'web', { serves: true }),
      add('client-envoy', 'front', { envoy: true }),
      add('client-tulle', 'front'),
      add('stranger-tulle', 'stranger'),
      add('stranger-envoy', 'stranger', { envoy: true }),
      mesh.start(
        {
          ...{ name: 'ingress', serviceAccount: 'ingress', labels: { app: 'ingress' }, runtime, type: 'router' },
          flags: [...AGENT, ...ENVOY_ARGS],
        },
        ingress,
      ),
    ]);
  }, 120_000);
  afterAll(async () => {
    closeServers(...occupants);
    await mesh.stop();
  }, 60_000);

  it.each([
    ['client-tulle', 'envoy'],
    ['client-envoy', 'tulle'],
    ['client-envoy', 'envoy'],
  ])('%s reaches the server of %s by mTLS, routed by a header', async (client, to) => {
    const answer = await until('an answer', async () => {
      const got = await call(client, { 'x-to': to });
      return got.status === 200 ? got : undefined;
    });
    expect(callerSeen(answer)).toBe(`${PRINCIPAL}front`);
  });

  it.each([
    ['stranger-tulle', 'envoy'],
    ['stranger-envoy', 'tulle'],
    ['stranger-envoy', 'envoy'],
  ])('%s is denied by the server of %s', async (client, to) => {
    await until('it is denied', async () => (await call(client, { 'x-to': to })).status === 403);
  });

  it('plaintext is refused by STRICT', async () => {
    const { address } = mesh.workloads.get('web-envoy')!;
    await expect(get({ host: address, port: 9080, path: '/' })).rejects.toThrow();
  });

  it('a gateway serves clients outside of the mesh', async () => {
    const answer = await until('an answer', async () => {
      const got = await get({ host: ingress, port: 8080, path: '/', headers: { host: 'web.test' } }).catch(
        () => undefined,
      );
      return got?.status === 200 ? got : undefined;
    });
    expect(callerSeen(answer)).toBe(`${PRINCIPAL}ingress`);
  });

  it('what Envoy refuses is reported with its reason, and the rest of the change is in force', async () => {
    const occupant = createServer();
    occupants.push(occupant);
    await new Promise<void>((done) => occupant.listen(8090, ingress, done));
    await mesh.apply(
      yaml(
        gateway(
          'ingress',
          'ingress',
          { port: port(8080), hosts: ['web.test'] },
          { port: port(8090, 'HTTP', 'b'), hosts: ['b.test'] },
          { port: port(8091, 'HTTP', 'c'), hosts: ['web.test'] },
        ),
      ),
    );
    await until('the good listener serves', async () => {
      const got = await get({ host: ingress, port: 8091, path: '/', headers: { host: 'web.test' } }).catch(
        () => undefined,
      );
      return got?.status === 200;
    });
    const { adminPort } = mesh.workloads.get('ingress')!;
    const reason = await until('it is reported', async () => {
      const { proxies } = await mesh.api.call<{ proxies: unknown[] }>('GET', '/v1/proxies');
      return /8090[^"]*Address already in use/.exec(JSON.stringify(proxies))?.[0];
    });
    expect(reason).toContain('Address already in use');
    expect((await get({ host: '127.0.0.1', port: adminPort, path: '/stats/prometheus' })).body).toContain('envoy_');
    occupant.close();
  });

  it('is what the command tulle envoy starts', async () => {
    const [proxyPort] = await freePorts(1);
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`, 'envoy'];
    const from = ['--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile];
    const own = ['--data', `${mesh.folder}/command`, '--service-account', 'front', '--http-proxy-port', `${proxyPort}`];
    const more = ['--name', 'command', '--announce', '--envoy-path', ENVOY!, '--', ...ENVOY_ARGS];
    const agent = mesh.launch('tulle envoy', [...command, ...from, ...own, ...more], {
      TULLE_JOIN_TOKEN: await mesh.joinToken('front'),
    });
    await agent.announcement();
    const host = 'web:9080';
    await until('an answer', async () => {
      const got = await get({ host: '127.0.0.1', port: proxyPort!, path: `http://${host}/`, headers: { host } });
      return got.status === 200 && callerSeen(got) === `${PRINCIPAL}front`;
    });
    await agent.stop();
  });

  it('comes back after Envoy was killed, with its config', async () => {
    const server = mesh.workloads.get('web-envoy')!;
    const pid = Number(await envoyPid(server.proxy.process.pid!));
    process.kill(pid, 'SIGKILL');
    // A change while there is no Envoy.
    const late = { action: 'DENY' as const, rules: [{ to: [{ operation: { paths: ['/late'] } }] }] };
    await mesh.apply(yaml(authorizationPolicy('late', 'web', late)));
    const ready = { host: '127.0.0.1', port: server.adminPort, path: '/ready' };
    await until('it is not ready', async () => (await get(ready)).status === 503);
    await until('another Envoy serves', async () => {
      const next = await envoyPid(server.proxy.process.pid!);
      return (
        next !== undefined && Number(next) !== pid && (await call('client-tulle', { 'x-to': 'envoy' })).status === 200
      );
    });
  });

  it('has the change that came while Envoy was down', async () => {
    const to = { 'x-to': 'envoy' };
    await until('it is denied', async () => (await call('client-tulle', to, '/late')).status === 403);
    expect((await call('client-tulle', to)).status).toBe(200);
  });

  it('ends the Envoy of an agent that was killed, and serves again', async () => {
    const server = mesh.workloads.get('web-envoy')!;
    const orphan = Number(await envoyPid(server.proxy.process.pid!));
    // Its output stays open, as its Envoy has it.
    const ended = once(server.proxy.process, 'exit');
    server.proxy.process.kill('SIGKILL');
    await ended;
    server.proxy = mesh.launch(server.proxy.name, server.proxyCommand);
    await server.proxy.announcement();
    // Ended, if it was not waited for.
    expect(await readFile(`/proc/${orphan}/cmdline`, 'utf8').catch(() => '')).toBe('');
    await until('it serves', async () => (await call('client-tulle', { 'x-to': 'envoy' })).status === 200);
  });
});

/** The child of an agent. */
async function envoyPid(agent: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${agent}/task/${agent}/children`, 'utf8').catch(() => '');
  return text.trim().split(' ')[0] || undefined;
}
