/**
 * AuthorizationPolicies of every action as `tulle compile` gives them, in a real Envoy and in Tulle on each runtime: the same
 * answers and targets, and the services of CUSTOM policies are asked about the same requests.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Authorizer, type SeenHttp, startGrpcAuthorizer, startHttpAuthorizer } from '../../kit/authorizer.ts';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import type { Fields } from '../../kit/protobuf.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { bootstrapOf, compile } from '../compiled/compiled.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';
import { authorityIn, type SvidFiles, svidFiles } from '../tls/svids.ts';

const entry = (name: string, address: string, ports: object[], more: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'default' },
  spec: {
    hosts: [`${name}.default.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports,
    endpoints: [{ address, labels: { app: name }, ...more }],
  },
});
const policy = (name: string, spec: object, annotations?: object) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name, namespace: 'default', ...(annotations && { annotations }) },
  spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
});
const paths = (...all: string[]) => [{ to: [{ operation: { paths: all } }] }];

const MESH = {
  defaultConfig: { proxyMetadata: { TULLE_DENIAL_HEADER: 'x-denied-by' } },
  extensionProviders: [
    {
      name: 'over-http',
      envoyExtAuthzHttp: {
        service: 'authz.default.svc.cluster.local',
        port: 8000,
        pathPrefix: '/check',
        timeout: '5s',
        includeRequestHeadersInCheck: ['x-user'],
        includeAdditionalHeadersInCheck: { 'x-mesh': 'here' },
        headersToUpstreamOnAllow: ['x-seen'],
        headersToDownstreamOnDeny: ['x-why'],
        headersToDownstreamOnAllow: ['x-allowed'],
      },
    },
    {
      name: 'over-grpc',
      envoyExtAuthzGrpc: { service: 'default/authz.default.svc.cluster.local', port: 9000, timeout: '5s' },
    },
  ],
};

/** @param provider of the CUSTOM policy */
const resources = (provider: string) => [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio', namespace: 'istio-system' },
    data: { mesh: stringify(MESH) },
  },
  entry(
    'web',
    '10.10.0.10',
    [
      { number: 8080, name: 'http', protocol: 'HTTP' },
      { number: 9090, name: 'tcp', protocol: 'TCP' },
    ],
    { serviceAccount: 'web' },
  ),
  entry('authz', '127.0.0.1', [
    { number: 8000, name: 'http', protocol: 'HTTP' },
    { number: 9000, name: 'grpc', protocol: 'GRPC' },
  ]),
  // What applies to HTTP alone; the port of a TCP service has its own policies.
  policy('custom', { action: 'CUSTOM', provider: { name: provider }, rules: paths('/guarded/*') }),
  policy('deny', {
    action: 'DENY',
    rules: [
      ...paths('/admin', '/admin/*', '/t/{*}/x', '/deep/{**}/secret'),
      { to: [{ operation: { methods: ['DELETE'] } }] },
      { to: [{ operation: { hosts: ['denied.test'] } }] },
      { when: [{ key: 'request.headers[x-role]', values: ['guest'] }] },
      { to: [{ operation: { paths: ['/note*'] } }], when: [{ key: 'request.headers[x-note]', notValues: ['plain'] }] },
      { from: [{ source: { notIpBlocks: ['127.0.0.0/8'] } }] },
      { from: [{ source: { namespaces: ['a.c'], notPrincipals: ['*/sa/x+'] } }] },
    ],
  }),
  policy('allow', {
    rules: [
      { to: [{ operation: { notMethods: ['TRACE'] } }], when: [{ key: 'source.ip', values: ['127.0.0.0/8'] }] },
      { from: [{ source: { principals: ['*'] } }] },
    ],
  }),
  policy('audit', { action: 'AUDIT', rules: paths('/audited') }),
  policy('dry', { action: 'DENY', rules: paths('/dry') }, { 'istio.io/dry-run': 'true' }),
];
const NODE = {
  id: 'sidecar~10.10.0.10~web.default~default.svc.cluster.local',
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'web', LABELS: { app: 'web' }, INTERCEPTION_MODE: 'NONE' },
};

/** `[request line without version, header lines …]`: what is sent, each on a connection of its own. */
const REQUESTS: readonly (readonly string[])[] = [
  ['GET /free'],
  ['GET /guarded/ok', 'x-user: ann', 'x-other: no'],
  ['GET /guarded/no', 'x-user: eve'],
  ['GET /guarded/../guarded/no'],
  ['GET /free/..%2fguarded/no'],
  ['GET /admin'],
  ['GET /admin/x?y'],
  ['GET /admin;a=b'],
  ['GET /%61dmin'],
  ['GET /x/../admin'],
  ['GET /x/%2e%2e/admin'],
  ['GET /x/%252e%252e/admin'],
  ['GET /x%2f..%2fadmin'],
  ['GET /t/a/x'],
  ['GET /t/a/b/x'],
  ['GET /deep/a/b/secret'],
  ['DELETE /free'],
  ['GET /free', 'x-role: guest'],
  ['GET /free', 'x-role: admin', 'x-role: guest'],
  ['GET /note', 'x-note: plain'],
  ['GET /note', 'x-note: other'],
  ['GET /note', 'x-note: \xff\xfe'],
  ['GET /note', 'x-note: plain', 'x-note: \xe9'],
  ['GET /note'],
  ['GET /audited'],
  ['GET /dry'],
  ['OPTIONS /guarded/no'],
  ['POST /guarded/ok', 'content-type: application/grpc', 'content-length: 0'],
  ['POST /guarded/no', 'content-type: application/grpc', 'content-length: 0'],
];

describe.skipIf(!ENVOY)('compiled AuthorizationPolicies, in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  const PROVIDERS = ['over-http', 'over-grpc', 'unknown'];
  const bootstraps = new Map<string, object>();
  const expected = new Map<string, string[]>();
  let http: Authorizer<SeenHttp>;
  let grpc: Authorizer<Fields>;
  let echo: Echo;

  const bootstrapFor = (provider: string, own: SvidFiles): object => {
    const file = join(folder.path, `${provider}.yaml`);
    writeFileSync(
      file,
      resources(provider)
        .map((one) => stringify(one))
        .join('---\n'),
    );
    const whole = bootstrapOf(compile([file], NODE, folder.path), own);
    const { listeners, clusters, secrets } = whole.staticResources;
    const inbound = JSON.stringify(listeners.filter((one) => (one as { name: string }).name.startsWith('10.10.0.10_')));
    const bound = inbound.replaceAll(
      /"address":"10\.10\.0\.10","portValue":\d+/g,
      '"address":"127.0.0.1","portValue":0',
    );
    const app = JSON.stringify(clusters)
      .replaceAll('"portValue":8080', `"portValue":${echo.port}`)
      .replaceAll('"portValue":9090', `"portValue":${echo.port}`)
      .replaceAll('"portValue":8000', `"portValue":${http.port}`)
      .replaceAll('"portValue":9000', `"portValue":${grpc.port}`);
    return { ...whole, staticResources: { listeners: JSON.parse(bound), clusters: JSON.parse(app), secrets } };
  };

  const answers = async (proxy: RunningProxy): Promise<string[]> => {
    const { ports } = proxy;
    const out: string[] = [];
    for (const [line, ...fields] of REQUESTS) {
      const bytes = [`${line} HTTP/1.1`, 'Host: web.test', ...fields, '', ''].join('\r\n');
      // A listener matches by its port, which the kernel has chosen here.
      const { responses } = await exchange(ports['10.10.0.10_8080']!, bytes, ['GET']);
      const { status, headers, body } = responses[0]!;
      const kept = headers.filter(([name]) =>
        ['x-why', 'x-allowed', 'x-denied-by', 'grpc-status', 'grpc-message'].includes(name),
      );
      out.push(`${line} ${fields.join(' ')} -> ${status} ${kept.join(' ')} ${targetOf(body)}`);
    }
    const asked = [
      ...http.checks.splice(0).map(({ seen }) => `${seen.method} ${seen.path} ${shown(seen.headers)}`),
      ...grpc.checks.splice(0).map(({ seen }) => pathOf(seen)),
    ];
    return [...out, ...asked, ...(await counters(proxy))];
  };
  const run = async (start: () => Promise<RunningProxy>): Promise<string[]> => {
    const proxy = await start();
    try {
      return await answers(proxy);
    } finally {
      await proxy.stop();
    }
  };

  beforeAll(async () => {
    echo = await startEcho('web');
    http = await startHttpAuthorizer(({ path }) =>
      path.endsWith('/ok')
        ? {
            headers: [
              ['x-seen', 'yes'],
              ['x-allowed', 'yes'],
              ['x-hidden', 'yes'],
            ],
          }
        : {
            status: 403,
            body: 'no',
            headers: [
              ['x-why', 'not you'],
              ['x-hidden', 'yes'],
            ],
          },
    );
    grpc = await startGrpcAuthorizer((seen) =>
      pathOf(seen).endsWith('/ok') ? {} : { response: { status: { code: 7 }, deniedResponse: { body: 'no' } } },
    );
    const own = await svidFiles(await authorityIn(`${folder.path}/ca`), folder.path, 'web');
    for (const provider of PROVIDERS) {
      const bootstrap = bootstrapFor(provider, own);
      bootstraps.set(provider, bootstrap);
      expected.set(provider, await run(() => startEnvoy(bootstrap, folder.path, `envoy-${provider}`)));
    }
  });
  afterAll(() => {
    http?.stop();
    grpc?.stop();
    echo?.stop();
    folder.dispose();
  });

  it('Envoy lets some pass, denies some, and asks about some', () => {
    const of = (provider: string) => expected.get(provider)!;
    for (const provider of PROVIDERS) {
      expect(of(provider).filter((line) => line.includes('-> 200')).length).toBeGreaterThan(5);
      expect(of(provider).filter((line) => line.includes('-> 403')).length).toBeGreaterThan(10);
    }
    expect(of('over-http').filter((line) => line.includes(' /check/guarded/')).length).toBeGreaterThan(3);
    expect(of('over-grpc').length).toBeGreaterThan(REQUESTS.length + 3);
    const dry = 'istio_dry_run_deny_.shadow_denied: 1';
    for (const provider of PROVIDERS) expect(of(provider).filter((line) => line.endsWith(dry))).toHaveLength(1);
    const named = 'x-denied-by,rbac_access_denied_matched_policy[ns[default]-policy[deny]-rule[0]]';
    expect(of('unknown').filter((line) => line.includes(named)).length).toBeGreaterThan(3);
  });

  it.each(RUNTIMES.flatMap((runtime) => PROVIDERS.map((provider) => [runtime, provider] as const)))(
    'Tulle on %s, provider %s: the same answers, and the same questions',
    async (runtime, provider) => {
      expect(await run(() => startTulle(runtime, bootstraps.get(provider)!, folder.path))).toEqual(
        expected.get(provider),
      );
    },
  );
});

/** What the filters have counted, without zeros. */
async function counters({ adminPort }: RunningProxy): Promise<string[]> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/stats`)).text();
  const lines = text
    .split('\n')
    .filter((line) => /^http\.inbound.*\.(?:rbac|ext_authz)\./.test(line) && !line.endsWith(': 0'));
  return lines.filter((line) => !line.includes('.rbac.policy.')).sort();
}

function targetOf(body: string): string {
  if (!body.startsWith('{')) return body;
  const { target, headers } = JSON.parse(body) as { target: string; headers: [string, string][] };
  return `${target} ${shown(headers)}`;
}

const shown = (headers: readonly (readonly [string, string])[]): string =>
  headers
    .filter(([name]) => ['x-user', 'x-mesh', 'x-seen', 'x-hidden', 'x-other', 'authorization'].includes(name))
    .map((field) => field.join('='))
    .sort()
    .join(' ');

function pathOf(attributes: Fields): string {
  const http = (attributes['request'] as Fields)['http'] as Fields;
  return String(http['path']);
}
