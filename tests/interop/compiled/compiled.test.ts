import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ROOT, RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { freePorts } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { alike } from '../harness/compare.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';
import { listener, manager, staticCluster } from '../shared-file/bootstrap.ts';
import { authorityIn, type SvidFiles, serverSocket, svidFiles } from '../tls/svids.ts';
import { bootstrapOf, compile } from './compiled.ts';
import { COUNTED, DELEGATE, REQUESTS, RULES, type ServiceRequest } from './virtual-service-cases.ts';

const entry = (name: string, app: string, address: string, more: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name, namespace: 'default' },
  spec: { address, labels: { app, version: 'v1' }, serviceAccount: app, ...more },
});
const reviewsByHeader = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'reviews', namespace: 'default' },
  spec: {
    hosts: ['reviews'],
    http: [
      ...RULES,
      { match: [{ uri: { exact: '/moved' } }], redirect: { uri: '/new', redirectCode: 302 } },
      {
        match: [{ uri: { exact: '/a' }, headers: { 'end-user': { exact: 'jason' } } }],
        rewrite: { uri: '/for-jason' },
        headers: { request: { set: { 'x-who': 'jason' } }, response: { add: { 'x-route': 'jason' } } },
        route: [{ destination: { host: 'reviews', subset: 'v1' } }],
      },
      {
        match: [{ uri: { prefix: '/broken' } }],
        fault: { abort: { httpStatus: 503, percentage: { value: 100 } } },
        route: [{ destination: { host: 'reviews', subset: 'v1' } }],
      },
      { match: [{ uri: { prefix: '/v3' } }], route: [{ destination: { host: 'reviews', subset: 'v3' } }] },
      {
        timeout: '2s',
        retries: { attempts: 2, retryOn: '5xx' },
        route: [{ destination: { host: 'reviews', subset: 'v1' } }],
      },
    ],
  },
};
/**
 * Without what the filter adds that a stock Envoy does not have, and with one form of ids: one request of a hundred is
 * traced, and its id says so.
 */
function comparable(body: string): string {
  if (!body.startsWith('{"upstream":')) return body;
  const seen = JSON.parse(body) as { headers: [name: string, value: string][] };
  const headers = seen.headers
    .filter(([name]) => !name.startsWith('x-envoy-peer-metadata'))
    .map(([name, value]) => [name, name === 'x-request-id' ? 'id' : value]);
  return JSON.stringify({ ...seen, headers });
}

const sidecar = (app: string, ip: string, more: object = {}) => ({
  id: `sidecar~${ip}~${app}.default~default.svc.cluster.local`,
  cluster: `${app}.default`,
  metadata: {
    NAMESPACE: 'default',
    SERVICE_ACCOUNT: app,
    LABELS: { app, version: 'v1' },
    INTERCEPTION_MODE: 'NONE',
    ...more,
  },
});

/** Of its own: service ports are fixed, and other meshes on this machine bind them on 127.0.0.1. */
const BIND = `127.${18 + (process.pid % 2)}.${Math.floor(Math.random() * 250)}.2`;

/** Envoy cannot open the standard output that this process gives it, which is a socket. */
const withoutOutput = <T extends object>(bootstrap: T): T =>
  JSON.parse(JSON.stringify(bootstrap).replaceAll('/dev/stdout', '/dev/null')) as T;

describe.skipIf(!ENVOY)('what `tulle compile` gives, in a real Envoy', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const files = [join(ROOT, 'deploy/demo/shop.yaml'), join(folder.path, 'more.yaml')];
  const httpProxy = { envoy: 0, node: 0, bun: 0, deno: 0 };
  let front: SvidFiles;
  let echo: Echo;

  const keep = (proxy: RunningProxy) => {
    proxies.push(proxy);
    return proxy;
  };
  const frontBootstrap = (port: number) =>
    bootstrapOf(
      compile(
        files,
        sidecar('front', '127.0.0.1', { HTTP_PROXY_PORT: String(port), OUTBOUND_BIND: BIND }),
        folder.path,
      ),
      front,
    );

  beforeAll(async () => {
    echo = await startEcho('reviews');
    const authority = await authorityIn(`${folder.path}/ca`);
    front = await svidFiles(authority, folder.path, 'front');
    const reviews = await svidFiles(authority, folder.path, 'reviews');
    // The peer is the same for all: an Envoy in front of the application, for `front` alone.
    const peer = keep(
      await startEnvoy(
        {
          node: { id: 'peer', cluster: 'peer' },
          admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
          static_resources: {
            listeners: [
              listener(
                'in',
                manager([{ match: { prefix: '/' }, route: { cluster: 'app' } }], [], {}, [
                  { name: 'any', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] },
                ]),
                serverSocket(reviews, front.id),
              ),
            ],
            clusters: [staticCluster('app', echo.port)],
          },
        },
        folder.path,
        'peer',
      ),
    );
    const documents = [
      reviewsByHeader,
      DELEGATE,
      entry('front', 'front', '127.0.0.8'),
      entry('details', 'details', '127.0.0.9'),
      entry('reviews', 'reviews', '127.0.0.1', { ports: { http: peer.ports['in'] } }),
      entry('ratings', 'ratings', '127.0.0.9'),
    ];
    writeFileSync(files[1]!, documents.map((one) => stringify(one)).join('---\n'));
    const ports = await freePorts(4);
    (['envoy', 'node', 'bun', 'deno'] as const).forEach((name, i) => {
      httpProxy[name] = ports[i]!;
    });
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    echo.stop();
    folder.dispose();
  });

  const gateway = {
    id: 'router~127.0.0.1~ingress.default~default.svc.cluster.local',
    cluster: 'ingress.default',
    metadata: {
      NAMESPACE: 'default',
      SERVICE_ACCOUNT: 'ingress',
      LABELS: { app: 'ingress' },
      INTERCEPTION_MODE: 'NONE',
    },
  };
  it.each([
    ['a sidecar that calls', sidecar('front', '127.0.0.8', { HTTP_PROXY_PORT: '15080' })],
    ['a sidecar with a policy', sidecar('ratings', '127.0.0.9')],
    ['a gateway', gateway],
  ])('%s: valid, with unknown fields refused', (_, node) => {
    const bootstrap = withoutOutput(bootstrapOf(compile(files, node, folder.path), front));
    expect(bootstrap.staticResources.listeners.length).toBeGreaterThan(0);
    expect(bootstrap.staticResources.clusters.length).toBeGreaterThan(4);
    const file = join(folder.path, 'validate.json');
    writeFileSync(file, JSON.stringify(bootstrap));
    expect(envoyErrors(file)).toBe('');
    writeFileSync(file, JSON.stringify({ ...bootstrap, staticResources: { ...bootstrap.staticResources, bogus: 1 } }));
    expect(envoyErrors(file)).toContain('bogus');
  });

  const given: [path: string, host: string, headers?: string][] = [
    ['/', 'reviews:9080'],
    ['/a?b=c', 'reviews.default.svc.cluster.local:9080'],
    ['/a', 'reviews:9080', 'end-user: jason\r\n'],
    ['/moved', 'reviews:9080'],
    ['/broken', 'reviews:9080'],
    ['/v3', 'reviews:9080'],
    ['/', 'unserved.test'],
    ['/', 'reviews:9080', 'x-echo-status: 404\r\n'],
    ['/', 'reviews:9080', 'x-echo-status: 500\r\nx-echo-fail: 9\r\n'],
  ];
  const requests: readonly ServiceRequest[] = [
    ...given.map(([path, host, headers = '']) => ({ path, host, headers })),
    ...REQUESTS,
  ];
  const answers = async (port: number) => {
    const out = [];
    for (const { path, method = 'GET', host = 'reviews:9080', headers = '' } of requests) {
      const bytes = `${method} http://${host}${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`;
      const { responses } = await exchange(port, bytes, [method]);
      const { status, headers: fields, body } = responses[0]!;
      const length = fields.find(([key]) => key === 'content-length')?.[1];
      if (length !== undefined) expect(Number(length)).toBe(body.length);
      const ignored = ['date', 'x-envoy-upstream-service-time', 'content-length'];
      const allowed = fields.some(([key]) => key === 'access-control-allow-origin');
      // A refused preflight lists the methods in Envoy alone (docs/differences-from-envoy.md, cors-refusing).
      const compared = fields.filter(
        ([key]) => !ignored.includes(key) && (allowed || !key.startsWith('access-control-')),
      );
      out.push({ path, host, status, fields: compared, body: comparable(alike(body, bytes)) });
    }
    return out;
  };
  let expected: Awaited<ReturnType<typeof answers>>;
  /** The statistics of routes with a stat prefix; one that is not there counts nothing. */
  const counted = async ({ adminPort }: RunningProxy) => {
    const lines = (await (await fetch(`http://127.0.0.1:${adminPort}/stats`)).text()).split('\n');
    const countOf = (name: string) => lines.find((line) => line.includes(`.route.${name}: `))?.split(': ')[1] ?? '0';
    return Object.fromEntries(COUNTED.map((name) => [name, countOf(name)]));
  };
  let counts: Awaited<ReturnType<typeof counted>>;

  it('Envoy runs the calling sidecar: routes, mTLS, rewrites, faults', async () => {
    const envoy = keep(await startEnvoy(withoutOutput(frontBootstrap(httpProxy.envoy)), folder.path, 'compiled'));
    expected = await answers(httpProxy.envoy);
    counts = await counted(envoy);
    expect(counts).toMatchObject({ 'again.upstream_rq_retry': '2', 'slow.upstream_rq_timeout': '1' });
    expect(expected.map(({ status }) => status).slice(0, 6)).toEqual([200, 200, 200, 302, 503, 503]);
    expect(JSON.parse(expected[2]!.body)).toMatchObject({ upstream: 'reviews', target: '/for-jason' });
    // The requests show what they are for: rules that match leave a mark, the others do not.
    const marks = expected.map(({ path, fields }) => [path, fields.find(([key]) => key === 'x-rule')?.[1]] as const);
    expect(marks.filter(([, mark]) => mark === undefined).map(([path]) => path)).toEqual(
      expect.arrayContaining(['/other-port', '/from-cart', '/from-shop', '/at-gateway', '/scheme', '/query?q=1']),
    );
    expect(marks.filter(([path, mark]) => mark === path).map(([path]) => path)).toEqual(
      expect.arrayContaining(['/absent', '/port', '/from-front', '/from-default', '/in-mesh', '/authority']),
    );
    const statuses = Object.fromEntries(expected.map(({ path, status }) => [path, status]));
    expect(statuses).toMatchObject({
      '/d-text': 418,
      '/f-both': 429,
      '/too-slow': 504,
      '/r-port': 308,
      '/retried': 200,
    });
  });

  it.each(RUNTIMES)('Tulle on %s answers the same', async (runtime) => {
    // The outbound listeners have fixed ports: one proxy at a time.
    await proxies.pop()!.stop();
    const proxy = keep(await startTulle(runtime, frontBootstrap(httpProxy[runtime]), folder.path));
    expect(await answers(httpProxy[runtime])).toEqual(expected);
    expect(await counted(proxy)).toEqual(counts);
  });
});
