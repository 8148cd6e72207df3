/** Every route of the control API, tried by every kind of caller: what a route needs is in a table here, and a new route must be added. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../control/control-plane.ts';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { kinds } from '../../shared/resources/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-routes-'));
let plane: ControlPlane;
const callers: Record<string, RequestOptions> = {};

/** Names of callers, in the order of the table's columns. */
const COLUMNS = ['anonymous', 'certificate', 'JWT-SVID', 'no role', 'view', 'edit', 'admin'] as const;

async function call(method: string, path: string, who: RequestOptions, body: unknown = {}) {
  const payload = method === 'GET' || method === 'HEAD' ? undefined : JSON.stringify(body);
  const headers = {
    ...who.headers,
    ...(payload !== undefined && { 'content-type': 'application/json', 'content-length': payload.length }),
  };
  return new Promise<{ status: number; text: string; headers: IncomingHttpHeaders }>((resolve, reject) => {
    const sent = request(
      new URL(path, plane.url),
      { method, ca: plane.trustBundle, agent: false, ...who, headers },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            text: Buffer.concat(chunks).toString(),
            headers: answer.headers,
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(payload);
  });
}

async function json<T>(method: string, path: string, who: RequestOptions, body: unknown): Promise<T> {
  const { status, text } = await call(method, path, who, body);
  expect(status, `${method} ${path}: ${text}`).toBeLessThan(300);
  return JSON.parse(text) as T;
}

const bearer = (token: string): RequestOptions => ({ headers: { authorization: `Bearer ${token}` } });

beforeAll(async () => {
  plane = await startControlPlane({
    data: join(folder, 'data'),
    address: '127.0.0.1',
    port: 0,
    dnsNames: [],
    ips: [],
    trustDomain: 'cluster.local',
    svidTtl: 3600,
    // One identity asks for everything here, as fast as it can: limits have tests of their own.
    identityLimits: { perSecond: 1e6, anonymousPerSecond: 1e6, failedTokensPerSecond: 1e6 },
    version: '0',
    log: () => {},
  });
  const admin = bearer(plane.adminToken!);
  const account = { namespace: 'default', serviceAccount: 'web' };
  const { token } = await json<{ token: string }>('POST', '/v1/join-tokens', admin, account);
  const keys = await generateKeys();
  const csr = await createCsr(keys);
  const issued = await json<{ certificateChain: string }>('POST', '/v1/certificates', {}, { csr, token });
  const certificate = { cert: issued.certificateChain, key: await exportPrivateKey(keys.privateKey) };
  const audience = ['tulle-control'];
  const jwt = await json<{ token: string }>('POST', '/v1/jwt-svids', certificate, { audience });
  Object.assign(callers, { anonymous: {}, certificate, 'JWT-SVID': bearer(jwt.token), admin });
  for (const user of ['no role', 'view', 'edit']) {
    const made = await json<{ token: string }>('POST', '/v1/user-tokens', admin, { user });
    callers[user] = bearer(made.token);
    if (user === 'no role') continue;
    await json('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', admin, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: user },
      subjects: [{ kind: 'User', name: user }],
      roleRef: { kind: 'ClusterRole', name: user },
    });
  }
}, 60_000);

afterAll(async () => {
  await plane.stop();
  rmSync(folder, { recursive: true });
});

/** `-`: refused with 401 or 403; `x`: the caller reaches what the route does, which may refuse this request for another reason. */
const PUBLIC = 'x x x x x x x';
const USERS = '- - - x x x x';
const ADMIN = '- - - - - - x';
const WRITE = '- - - - - x x';
const READ = '- - - - x x x';
const CERTIFICATE = '- x - - - - -';
const WORKLOAD = '- x x - - - -';

const TABLE: Record<string, string> = {
  'GET /version': PUBLIC,
  'GET /healthz': PUBLIC,
  'GET /livez': PUBLIC,
  'GET /readyz': PUBLIC,
  'GET /healthz/:check': PUBLIC,
  'GET /livez/:check': PUBLIC,
  'GET /readyz/:check': PUBLIC,
  // Not among what discovery allows, as in Kubernetes.
  'GET /': ADMIN,
  'OPTIONS /': ADMIN,
  'GET /.well-known/openid-configuration': PUBLIC,
  'GET /keys': PUBLIC,
  'GET /openid/v1/jwks': PUBLIC,
  'GET /v1/trust-bundle': PUBLIC,
  'GET /install': PUBLIC,
  'GET /install/join.sh': PUBLIC,
  'GET /install/:name': PUBLIC,
  // What the body proves counts.
  'POST /v1/certificates': PUBLIC,
  'POST /v1/jwt-svids': PUBLIC,
  'POST /v1/join': PUBLIC,
  'POST /v1/rejoin': PUBLIC,
  'POST /v1/rejoin/challenge': PUBLIC,
  'POST /v3/delta-discovery': WORKLOAD,
  // gRPC: who may call is in the status of the call (discovery-streams.test.ts); what is not gRPC is answered 415.
  ...Object.fromEntries(
    [
      'envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      'envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
      'envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets',
      'envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
    ].map((method) => [`POST /${method}`, PUBLIC]),
  ),
  'POST /v1/proxy-config': CERTIFICATE,
  'POST /v1/workload-health': CERTIFICATE,
  'DELETE /v1/join': CERTIFICATE,
  'GET /v1/proxies': READ,
  'GET /v1/proxies/:id/config': ADMIN,
  'GET /v1/rollouts': READ,
  'POST /v1/rollouts/pause': WRITE,
  'POST /v1/rollouts/promote': WRITE,
  'POST /v1/rollouts/undo': WRITE,
  'GET /v1/join-tokens': ADMIN,
  'POST /v1/join-tokens': ADMIN,
  'DELETE /v1/join-tokens/:id': ADMIN,
  'GET /v1/revocations': ADMIN,
  'POST /v1/revocations': ADMIN,
  'POST /v1/invitations': ADMIN,
  'GET /v1/user-tokens': ADMIN,
  'POST /v1/user-tokens': ADMIN,
  'DELETE /v1/user-tokens/:id': ADMIN,
  'GET /v1/joins': ADMIN,
  'POST /v1/joins/:id/revoke': ADMIN,
  'POST /v1/backup': ADMIN,
  'GET /v1/ca': ADMIN,
  'POST /v1/ca/rotate': ADMIN,
  'POST /v1/ca/retire': ADMIN,
  'GET /v1/prometheus/targets': ADMIN,
  'POST /v1/prometheus/token': ADMIN,
  'DELETE /v1/prometheus/token': ADMIN,
  'POST /apis/authentication.k8s.io/v1/selfsubjectreviews': USERS,
  'POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews': USERS,
  'POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews': USERS,
  'POST /apis/authentication.k8s.io/v1/tokenreviews': ADMIN,
  'POST /apis/authorization.k8s.io/v1/subjectaccessreviews': ADMIN,
  'POST /apis/authorization.k8s.io/v1/namespaces/:namespace/localsubjectaccessreviews': ADMIN,
  'POST /api/v1/namespaces/:namespace/serviceaccounts/:name/token': WRITE,
};

/** Of paths of the Kubernetes API: Secrets at `/api`, VirtualServices at `/apis`. */
function expected(method: string, path: string): string | undefined {
  const own = TABLE[`${method} ${path}`];
  if (own || !/^\/(api|apis|openapi)(\/|$)/.test(path)) return own;
  // Definitions of kinds, and what controllers write, are in no role but that of administrators, as in Kubernetes.
  if (path.includes('/customresourcedefinitions')) return ADMIN;
  if (!path.includes(':plural')) return USERS;
  if (method === 'OPTIONS') return ADMIN;
  const isRead = method === 'GET' && path.startsWith('/apis/');
  if (path.endsWith('/status') && !isRead) return ADMIN;
  return isRead ? READ : WRITE;
}

/** Of every answer, refusals included. */
const SECURE_HEADERS = {
  'cache-control': expect.stringMatching(/no-cache|no-store/),
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
};

const ROLLOUT = { kind: 'VirtualService', namespace: 'default', name: 'absent' };
/** Bodies of routes that look for the namespace in it before they ask what the caller may do. */
const BODIES: Record<string, unknown> = {
  '/v1/join-tokens': { namespace: 'default', serviceAccount: 'other' },
  '/v1/revocations': { namespace: 'default', serviceAccount: 'other' },
  '/v1/rollouts/pause': ROLLOUT,
  '/v1/rollouts/promote': ROLLOUT,
  '/v1/rollouts/undo': ROLLOUT,
  '/v1/invitations': { namespace: 'default', group: 'absent' },
};

/** Every route once; one for all methods is tried with a method that no other has. It ends with the one that ends the join. */
function routes(): { method: string; path: string }[] {
  const all = plane.routes
    .filter(({ method, path }) => method !== 'ALL' || !path.includes('*'))
    .map(({ method, path }) => `${method === 'ALL' ? 'OPTIONS' : method} ${path}`);
  const last = 'DELETE /v1/join';
  return [...new Set(all)]
    .sort((a, b) => Number(a === last) - Number(b === last))
    .map((each) => ({ method: each.split(' ')[0]!, path: each.split(' ')[1]! }));
}

const urlOf = (path: string) =>
  path
    .replace(':version', 'v1')
    .replace(':group', 'networking.istio.io')
    .replace(':plural', path.startsWith('/api/') ? 'secrets' : 'virtualservices')
    .replace(':namespace', 'default')
    .replace(/:\w+|\*/g, 'x');

it('lets every caller reach what the table says, and nothing else', async () => {
  await expect.poll(async () => (await call('GET', '/api/v1/services', callers['edit']!)).status).toBe(200);
  const found: Record<string, string> = {};
  const wanted: Record<string, string> = {};
  for (const { method, path } of routes()) {
    const marks: string[] = [];
    for (const column of COLUMNS) {
      const { status, headers } = await call(method, urlOf(path), callers[column]!, BODIES[path]);
      // Of discovery the clients are proxies.
      if (!/^\/(v3|envoy\.)/.test(path)) expect(headers, `${method} ${path}`).toMatchObject(SECURE_HEADERS);
      marks.push(status === 401 || status === 403 ? '-' : 'x');
    }
    found[`${method} ${path}`] = marks.join(' ');
    wanted[`${method} ${path}`] = expected(method, path) ?? 'is not in the table';
  }
  expect(found).toEqual(wanted);
  expect(Object.keys(TABLE).filter((key) => !(key in found))).toEqual([]);
}, 120_000);

/** Every method that HTTP libraries know, whatever a route declares. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** What a proxy's certificate reaches beside what anonymous callers do: each is about the proxy itself. */
const OWN: ReadonlySet<string> = new Set([
  'POST /v3/delta-discovery',
  'POST /v1/proxy-config',
  'POST /v1/workload-health',
  'POST /v1/certificates',
  'POST /v1/jwt-svids',
  'DELETE /v1/join',
]);

/** A proxy of its own, since the other test ends the join of its certificate. */
async function proxyOf(namespace: string, serviceAccount: string) {
  const admin = callers['admin']!;
  const { token } = await json<{ token: string }>('POST', '/v1/join-tokens', admin, { namespace, serviceAccount });
  const keys = await generateKeys();
  const issued = await json<{ certificateChain: string }>(
    'POST',
    '/v1/certificates',
    {},
    { csr: await createCsr(keys), token },
  );
  const certificate = { cert: issued.certificateChain, key: await exportPrivateKey(keys.privateKey) };
  const { token: jwt } = await json<{ token: string }>('POST', '/v1/jwt-svids', certificate, {
    audience: ['tulle-control'],
  });
  return { certificate, jwt: bearer(jwt) };
}

describe("a proxy's identity", () => {
  const SECRET = 'the-key-of-another';
  let proxy: Awaited<ReturnType<typeof proxyOf>>;
  beforeAll(async () => {
    proxy = await proxyOf('default', 'curious');
    await json('POST', '/api/v1/namespaces/default/secrets', callers['admin']!, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'x', namespace: 'default' },
      stringData: { key: SECRET },
    });
  });

  it('is refused by every route and every method, but for what is about itself', async () => {
    const paths = [...new Set(plane.routes.map(({ path }) => path))].filter((path) => !path.includes('*'));
    const reached: string[] = [];
    for (const path of paths)
      for (const method of METHODS)
        for (const who of [proxy.certificate, proxy.jwt]) {
          // Its own join is ended by the other test.
          if (OWN.has(`${method} ${path}`)) continue;
          const { status, text } = await call(method, urlOf(path), who, BODIES[path]);
          expect(text, `${method} ${path}`).not.toContain(SECRET);
          const declared = method === 'HEAD' ? 'GET' : method;
          const isPublic = expected(declared, path) === PUBLIC;
          if (![401, 403, 404, 405].includes(status) && !isPublic) reached.push(`${method} ${path}: ${status}`);
        }
    expect(reached).toEqual([]);
  }, 240_000);

  it('reads and writes no resource of any kind by any verb, nor as another user', async () => {
    const reached: string[] = [];
    const attempt = async (method: string, path: string, who: RequestOptions) => {
      const { status, text } = await call(method, path, who);
      expect(text).not.toContain(SECRET);
      if (status !== 401 && status !== 403) reached.push(`${method} ${path}: ${status}`);
    };
    for (const { group, plural, versions, namespaced } of kinds) {
      const base = group === '' ? `/api/${versions[0]}` : `/apis/${group}/${versions[0]}`;
      const collection = namespaced ? `${base}/namespaces/default/${plural}` : `${base}/${plural}`;
      const verbs: [string, string][] = [
        ['GET', collection],
        ['GET', `${base}/${plural}`],
        ['GET', `${collection}?watch=true`],
        ['POST', collection],
        ['DELETE', collection],
        ['GET', `${collection}/x`],
        ['PUT', `${collection}/x`],
        ['PATCH', `${collection}/x`],
        ['DELETE', `${collection}/x`],
        ['GET', `${collection}/x/status`],
        ['PUT', `${collection}/x/status`],
      ];
      for (const [method, path] of verbs) await attempt(method, path, proxy.certificate);
    }
    const identities: readonly RequestOptions[] = [proxy.certificate, proxy.jwt];
    for (const who of identities) {
      const headers = { ...who.headers, 'impersonate-user': 'admin', 'impersonate-group': 'system:masters' };
      await attempt('GET', '/api/v1/namespaces/default/secrets/x', { ...who, headers });
      await attempt('GET', '/version', { ...who, headers });
    }
    expect(reached).toEqual([]);
  }, 240_000);

  it('reads no config of another proxy, and gets no document of another identity', async () => {
    const node = (id: string, metadata: object) => ({ id, metadata });
    const another = [
      node('sidecar~10.0.0.1~a.other~other.svc.cluster.local', { NAMESPACE: 'other', SERVICE_ACCOUNT: 'web' }),
      node('sidecar~10.0.0.1~a.default~default.svc.cluster.local', { NAMESPACE: 'other', SERVICE_ACCOUNT: 'curious' }),
      node('sidecar~10.0.0.1~a.default~default.svc.cluster.local', { NAMESPACE: 'default', SERVICE_ACCOUNT: 'web' }),
      node('router~10.0.0.1~a.istio-system~istio-system.svc.cluster.local', { NAMESPACE: 'istio-system' }),
    ];
    const own = node('sidecar~10.0.0.1~a.default~default.svc.cluster.local', {
      NAMESPACE: 'default',
      SERVICE_ACCOUNT: 'curious',
    });
    const requests = [{ typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster' }];
    const answer = await call('POST', '/v3/delta-discovery', proxy.certificate, { node: own, requests });
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"session"')]);
    for (const who of [proxy.certificate, proxy.jwt])
      for (const each of another) {
        const { status, text } = await call('POST', '/v3/delta-discovery', who, { node: each, requests: [] });
        expect([status, text], JSON.stringify(each)).toEqual([403, expect.any(String)]);
      }
    for (const each of another)
      expect((await call('POST', '/v1/proxy-config', proxy.certificate, { node: each })).status).toBeGreaterThanOrEqual(
        400,
      );
    const csr = await createCsr(await generateKeys(), 'spiffe://cluster.local/ns/default/sa/web');
    expect((await call('POST', '/v1/certificates', proxy.certificate, { csr })).status).toBeGreaterThanOrEqual(400);
    // A bearer token is weaker proof than a key: no certificate for it.
    const ownCsr = await createCsr(await generateKeys());
    expect((await call('POST', '/v1/certificates', proxy.jwt, { csr: ownCsr })).status).toBe(401);
    for (const path of [
      '/v1/proxies',
      '/v1/proxies/a.default/config',
      '/v1/joins',
      '/v1/join-tokens',
      '/v1/user-tokens',
    ])
      expect((await call('GET', path, proxy.certificate)).status, path).toBe(403);
  });
});
