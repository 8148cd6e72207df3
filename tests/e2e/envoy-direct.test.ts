/**
 * Stock Envoys that follow the control plane themselves, without an agent (`tulle envoy-bootstrap`): a server's sidecar, a
 * client's, and a gateway, with proxies of ours on the other side of each connection.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary } from '../../control/cli/runtimes.mjs';
import { ROOT } from '../kit/environment.ts';
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

interface Direct {
  readonly address: string;
  readonly httpProxyPort: number;
  readonly adminPort: number;
  readonly certificates: string;
  readonly envoy: ReturnType<LoopbackMesh['launch']>;
}

describe.skipIf(!ENVOY)('Envoys without an agent', () => {
  const mesh = new LoopbackMesh();
  const occupants: Server[] = [];
  const direct = new Map<string, Direct>();
  const tulle = (...args: string[]) => [
    nodeBinary(),
    '--disable-warning=ExperimentalWarning',
    `${ROOT}/control/cli/main.ts`,
    ...args,
  ];

  const addEnvoy = async (name: string, app: string, options: { serves?: boolean; type?: string } = {}) => {
    const address = mesh.address();
    const labels = { app, version: 'envoy' };
    if (options.type !== 'router') await mesh.apply(yaml(workloadEntry(name, address, { app, labels })));
    const [httpProxyPort, adminPort, appPort] = (await freePorts(3)) as [number, number, number];
    const certificates = `${mesh.folder}/${name}`;
    const keeper = mesh.launch(
      `certificates of ${name}`,
      tulle(
        ...['certificate-files', '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile],
        ...['--output', certificates],
      ),
      { TULLE_JOIN_TOKEN: await mesh.joinToken(app) },
    );
    await until('certificate files', () => keeper.ended || keeper.output.includes('certificate in'));
    if (keeper.ended) throw keeper.failure('ended');
    const bootstrap = `${mesh.folder}/${name}.json`;
    const write = mesh.launch(
      `bootstrap of ${name}`,
      tulle(
        ...['envoy-bootstrap', '--control-plane', mesh.url, '--certificates', certificates, '--output', bootstrap],
        ...['--name', name, '--service-account', app, '--ip', address, '--labels', `app=${app},version=envoy`],
        ...['--type', options.type ?? 'sidecar', '--http-proxy-port', `${httpProxyPort}`],
        ...['--admin-port', `${adminPort}`, ...(options.serves ? ['--app-port', `http=${appPort}`] : [])],
      ),
    );
    expect(await write.exited, write.output).toBe(0);
    if (options.serves) mesh.launch(`${name} application`, [nodeBinary(), ECHO, `${appPort}`]);
    const envoy = mesh.launch(`envoy ${name}`, [
      ...[ENVOY!, '-c', bootstrap, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'],
      ...['--reject-unknown-dynamic-fields', '--drain-time-s', '1'],
    ]);
    await until(`${name} is ready`, async () => {
      if (envoy.ended) return true;
      return (await get({ host: '127.0.0.1', port: adminPort, path: '/ready' })).status === 200;
    });
    if (envoy.ended) throw envoy.failure('ended');
    direct.set(name, { address, httpProxyPort, adminPort, certificates, envoy });
  };
  const addTulle = async (name: string, app: string, serves = false) => {
    const address = mesh.address();
    const labels = { app, version: 'tulle' };
    await mesh.apply(yaml(workloadEntry(name, address, { app, labels })));
    await mesh.start(
      { name, serviceAccount: app, labels, runtime: 'node', ...(serves && { app: [ECHO, '{port}'] }) },
      address,
    );
  };
  const call = (client: string, headers: Record<string, string> = {}, path = '/'): Promise<Answer> => {
    const { httpProxyPort } = mesh.workloads.get(client) ?? direct.get(client)!;
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
  const statusOf = async (name: string) => {
    const { proxies } = await mesh.api.call<{ proxies: { id: string }[] }>('GET', '/v1/proxies');
    return proxies.find(({ id }) => id.includes(`~${name}.`));
  };

  beforeAll(async () => {
    await mesh.startControl({ svidTtl: '60s' });
    await mesh.apply(yaml(...RESOURCES));
    await Promise.all([
      addEnvoy('web-envoy', 'web', { serves: true }),
      addTulle('web-tulle', 'web', true),
      addEnvoy('client-envoy', 'front'),
      addTulle('client-tulle', 'front'),
      addTulle('stranger-tulle', 'stranger'),
      addEnvoy('stranger-envoy', 'stranger'),
      addEnvoy('ingress', 'ingress', { type: 'router' }),
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
      const got = await call(client, { 'x-to': to }).catch(() => undefined);
      return got?.status === 200 ? got : undefined;
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
    const { address } = direct.get('web-envoy')!;
    await expect(get({ host: address, port: 9080, path: '/' })).rejects.toThrow();
  });

  it('a gateway serves clients outside of the mesh', async () => {
    const { address } = direct.get('ingress')!;
    const answer = await until('an answer', async () => {
      const got = await get({ host: address, port: 8080, path: '/', headers: { host: 'web.test' } }).catch(
        () => undefined,
      );
      return got?.status === 200 ? got : undefined;
    });
    expect(callerSeen(answer)).toBe(`${PRINCIPAL}ingress`);
  });

  it('what was sent is acknowledged, and shown', async () => {
    for (const name of direct.keys())
      await until(`${name} has all`, async () => {
        const { types, version, connected } = (await statusOf(name)) as unknown as {
          types: Record<string, { state: string; resources: number }>;
          version: string;
          connected: boolean;
        };
        expect([version, connected]).toEqual([expect.stringMatching(/^envoy\/1\./), true]);
        return ['clusters', 'listeners'].every((type) => types[type]?.state === 'SYNCED' && types[type].resources > 0);
      });
  });

  it('takes changes of routes, policies and endpoints', async () => {
    const late = { action: 'DENY' as const, rules: [{ to: [{ operation: { paths: ['/late'] } }] }] };
    await mesh.apply(yaml(authorizationPolicy('late', 'web', late)));
    await until('a policy', async () => (await call('client-tulle', { 'x-to': 'envoy' }, '/late')).status === 403);
    const routes = { hosts: ['web'], http: [{ route: [{ destination: { host: 'web', subset: 'envoy' } }] }] };
    await mesh.apply(
      yaml(
        virtualService('web', {
          ...routes,
          http: [{ ...routes.http[0]!, fault: { abort: { httpStatus: 418, percentage: { value: 100 } } } }],
        }),
      ),
    );
    await until('a route', async () => (await call('client-envoy')).status === 418);
    await mesh.apply(yaml(meshService('added')));
    await mesh.apply(yaml(RESOURCES[3] as object));
    await until('the route before', async () => (await call('client-envoy', { 'x-to': 'tulle' })).status === 200);
  });

  it('what Envoy refuses is shown with its reason, and the rest is in force', async () => {
    const { address } = direct.get('ingress')!;
    const occupant = createServer();
    occupants.push(occupant);
    await new Promise<void>((done) => occupant.listen(8090, address, done));
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
      const got = await get({ host: address, port: 8091, path: '/', headers: { host: 'web.test' } }).catch(
        () => undefined,
      );
      return got?.status === 200;
    });
    const refused = await until('it is reported', async () => {
      const { types } = (await statusOf('ingress')) as unknown as {
        types: { listeners: { refused: { name: string; message: string }[] } };
      };
      return types.listeners.refused.length > 0 ? types.listeners.refused : undefined;
    });
    expect(refused).toEqual([
      expect.objectContaining({
        name: expect.stringContaining('8090'),
        message: expect.stringMatching(/8090.*in use/),
      }),
    ]);
  });

  it('takes renewed certificates', async () => {
    const { address, certificates } = direct.get('web-envoy')!;
    const serialOf = (pem: string | Buffer) => new X509Certificate(pem).serialNumber;
    const fileOf = () => serialOf(readFileSync(`${certificates}/cert-chain.pem`));
    const before = fileOf();
    await until('a renewal', () => fileOf() !== before);
    const client = direct.get('client-envoy')!.certificates;
    const served = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({
          ...{ host: address, port: 9080, ALPNProtocols: ['istio'], rejectUnauthorized: false },
          cert: readFileSync(`${client}/cert-chain.pem`),
          key: readFileSync(`${client}/key.pem`),
        });
        socket.once('secureConnect', () => {
          resolve(serialOf(socket.getPeerCertificate().raw));
          socket.destroy();
        });
        socket.once('error', reject);
      });
    await until('it is served', async () => (await served()) === fileOf());
  }, 90_000);

  it('serves on while the control plane is away, and follows the next one', async () => {
    await mesh.control.stop();
    expect((await call('client-envoy', { 'x-to': 'tulle' })).status).toBe(200);
    await mesh.startControl();
    await mesh.remove(yaml(authorizationPolicy('late', 'web', {})));
    await until('a change', async () => (await call('client-tulle', { 'x-to': 'envoy' }, '/late')).status === 200);
  }, 60_000);
});
