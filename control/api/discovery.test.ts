import { Hono } from 'hono';
import { describe, expect, it, vi } from 'vitest';
import { MAX_POLL_NAMES, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { authorizer } from '../access/authorizer.ts';
import { ADMIN } from '../access/user.ts';
import { fixedCompile } from '../compile/testing/fixed-compile.ts';
import { DiscoveryService } from '../discovery/service.ts';
import type { SessionLimits } from '../discovery/session-table.ts';
import type { MeshView } from '../mesh/view.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { discoveryApi } from './discovery.ts';

const workload: Caller = {
  kind: 'workload',
  spiffeId: 'spiffe://cluster.local/ns/default/sa/a',
  trustDomain: 'cluster.local',
  namespace: 'default',
  serviceAccount: 'a',
};

function api(caller: Caller, limits: Partial<SessionLimits> = {}) {
  const service = new DiscoveryService({
    compile: fixedCompile(() => ({
      secrets: [{ name: 's', tlsCertificate: { privateKey: { inlineString: 'PRIVATE' } } }],
      clusters: [{ name: 'c' }],
      endpoints: [],
      listeners: [],
      routes: [],
    })),
    mesh: { current: () => ({ revision: 7 }) as MeshView, onChange: () => () => {} },
    holdMs: 60_000,
    limits,
  });
  const routes = discoveryApi(service);
  return { service, as: (who: Caller) => mounted(who), app: mounted(caller) };
  function mounted(who: Caller) {
    const app = new Hono<ApiEnv>();
    app.use(async (c, next) => {
      c.set('caller', who);
      c.set('authorizer', authorizer());
      await next();
    });
    return app.route('/', routes);
  }
}

const poll = (namespace = 'default', session?: string, idNamespace = namespace) => ({
  ...(session ? { session } : {}),
  node: { id: `sidecar~10.0.0.1~n.${idNamespace}~x`, metadata: { NAMESPACE: namespace, SERVICE_ACCOUNT: 'a' } },
  requests: ['secrets', 'clusters'].map((type) => ({
    typeUrl: TYPE_URLS[type as 'secrets' | 'clusters'],
    resourceNamesSubscribe: ['*'],
  })),
});
const headers = { 'content-type': 'application/json' };
const post = (app: Hono<ApiEnv>, body: unknown, init: RequestInit = {}) =>
  app.request('/v3/delta-discovery', { method: 'POST', headers, body: JSON.stringify(body), ...init });

describe('discovery routes', () => {
  it('refuses a poll with too many names, and one with a name that is too long', async () => {
    const { app } = api(workload);
    const refused = async (request: object) => {
      const answer = await post(app, { ...poll(), requests: [{ typeUrl: TYPE_URLS.clusters, ...request }] });
      return [answer.status, ((await answer.json()) as { message: string }).message];
    };
    const names = Array.from({ length: MAX_POLL_NAMES }, (_, i) => `${i}`);
    for (const more of [{ resourceNamesUnsubscribe: ['a'] }, { initialResourceVersions: { a: '1' } }])
      expect(await refused({ resourceNamesSubscribe: names, ...more })).toEqual([
        400,
        'not a discovery poll: requests: must not have more than 20000 names',
      ]);
    expect(await refused({ resourceNamesSubscribe: ['n'.repeat(1025)] })).toEqual([
      400,
      `${TYPE_URLS.clusters}: a resource name of more than 1024 characters`,
    ]);
    expect(
      (await post(app, { ...poll(), requests: [{ typeUrl: TYPE_URLS.clusters, resourceNamesSubscribe: names }] }))
        .status,
    ).toBe(200);
  });

  it('answers a workload only for its own namespace and service account', async () => {
    const { app, as } = api(workload);
    const answer = (await (await post(app, poll())).json()) as { session: string; responses: { typeUrl: string }[] };
    expect(answer.responses.map(({ typeUrl }) => typeUrl)).toEqual([TYPE_URLS.secrets, TYPE_URLS.clusters]);
    const foreign = await post(app, poll('kube-system'));
    expect(foreign.status).toBe(403);
    expect(await foreign.json()).toMatchObject({ kind: 'Status', reason: 'Forbidden', code: 403 });
    const disguised = await post(app, poll('default', undefined, 'kube-system'));
    expect(disguised.status).toBe(403);
    expect(await disguised.json()).toMatchObject({ message: expect.stringContaining('node.id: ') });
    expect((await post(as({ kind: 'anonymous' }), poll())).status).toBe(401);
    expect((await post(as({ kind: 'user', ...ADMIN }), poll())).status).toBe(403);
  });

  it.each([
    'sidecar~10.0.0.1~n.default~x\n2026-01-01 error: forged',
    'sidecar~10.0.0.1~\u001b[2Jn.default~x',
    'sidecar~10.0.0.1~n.default~x\u009b2J',
    'sidecar~10.0.0.1~n.default~x~y',
    'sidecar~nowhere~n.default~x',
    `sidecar~10.0.0.1~${'n'.repeat(700)}.default~x`,
    'n.default',
  ])('refuses the node id %j', async (id) => {
    const { app, service } = api(workload);
    const answer = await post(app, { ...poll(), node: { ...poll().node, id } });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { message: string }).message).toMatch(/^node\.id: must be /);
    expect(service.status()).toEqual([]);
  });

  const withMetadata = (metadata: object) => ({
    node: { ...poll().node, metadata: { ...poll().node.metadata, ...metadata } },
  });
  const nested = (levels: number): object => (levels === 0 ? {} : { a: nested(levels - 1) });
  it.each([
    ['values', { P: Array.from({ length: 5000 }, () => ({})) }, 'node: must not hold more than 4096 values'],
    ['characters', { LABELS: { a: 'x'.repeat(65_536) } }, 'node: must not exceed 65536 characters'],
    ['names', { ['x'.repeat(65_536)]: 1 }, 'node: must not exceed 65536 characters'],
    ['depth', { P: nested(20) }, 'node: must not be nested deeper than 16 levels'],
    [
      'control characters',
      { LABELS: { app: 'a\u001b[2J' } },
      'node.metadata.LABELS.app: must not contain control characters',
    ],
  ])('bounds the %s of a node', async (_name, metadata, message) => {
    const { app, service } = api(workload);
    const answer = await post(app, { ...poll(), ...withMetadata(metadata) });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ message });
    expect(service.status()).toEqual([]);
  });

  it('bounds a poll before it is parsed', async () => {
    const { app } = api(workload);
    const answer = await post(app, { ...poll(), ...withMetadata({ P: Array.from({ length: 340_000 }, () => ({})) }) });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ message: expect.stringContaining('more than 65536 values') });
  });

  it('ignores metadata that is not read, whatever its text', async () => {
    const { app, service } = api(workload);
    expect((await post(app, { ...poll(), ...withMetadata({ ANNOTATIONS: { text: 'two\nlines' } }) })).status).toBe(200);
    expect(service.status()).toHaveLength(1);
  });

  it('refuses the sessions of an identity above its limit by name, and serves other identities', async () => {
    const { app, as } = api(workload, { perIdentity: 3 });
    const named = (n: number, account = 'a') => ({
      ...poll(),
      node: {
        id: `sidecar~10.0.0.1~n${n}.default~x`,
        metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: account },
      },
    });
    for (const n of [1, 2, 3]) expect((await post(app, named(n))).status).toBe(200);
    const refused = await post(app, named(4));
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({
      reason: 'TooManyRequests',
      message: 'the limit of 3 sessions of one identity is reached (spiffe://cluster.local/ns/default/sa/a)',
    });
    const other = as({ ...workload, spiffeId: 'spiffe://cluster.local/ns/default/sa/b', serviceAccount: 'b' });
    expect((await post(other, named(4, 'b'))).status).toBe(200);
  });

  it('gives no private keys for a bearer token, also not in a session that a certificate opened', async () => {
    const { app, as } = api(workload);
    const byToken = as({ ...workload, byToken: true });
    const { session } = (await (await post(app, poll())).json()) as { session: string };
    for (const given of [undefined, session]) {
      const answer = (await (await post(byToken, poll('default', given))).json()) as {
        session: string;
        responses: { typeUrl: string }[];
      };
      expect(answer.responses.map(({ typeUrl }) => typeUrl)).toEqual([TYPE_URLS.clusters]);
      expect(answer.session).not.toBe(session);
    }
  });

  it('names the invalid field of a poll and limits its size', async () => {
    const { app } = api(workload);
    const bad = await post(app, { ...poll(), surprise: 1 });
    expect(bad.status).toBe(400);
    expect(((await bad.json()) as { message: string }).message).toContain('surprise');
    expect((await app.request('/v3/delta-discovery', { method: 'POST', headers, body: '{' })).status).toBe(400);
    expect((await post(app, { ...poll(), session: 'x'.repeat(1024 * 1024) })).status).toBe(413);
  });

  it('ends the waiting poll when the proxy disconnects', async () => {
    const { app, service } = api(workload);
    const { session, responses } = (await (await post(app, poll())).json()) as {
      session: string;
      responses: { typeUrl: string; nonce: string }[];
    };
    const requests = responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce }));
    const abort = new AbortController();
    const held = post(app, { ...poll('default', session), requests }, { signal: abort.signal });
    await vi.waitFor(() => expect(service.held).toBe(1));
    abort.abort();
    const answer = await held;
    expect(service.held).toBe(0);
    expect(answer.status).toBe(200);
  });

  it('shows proxies and their config to admins only, without private keys', async () => {
    const { app, as } = api(workload);
    await post(app, poll());
    const admin = as({ kind: 'user', ...ADMIN });
    expect((await app.request('/v1/proxies')).status).toBe(403);
    const { proxies } = (await (await admin.request('/v1/proxies')).json()) as { proxies: { id: string }[] };
    expect(proxies).toMatchObject([
      { id: 'sidecar~10.0.0.1~n.default~x', namespace: 'default', serviceAccount: 'a', connected: true },
    ]);
    const text = await (await admin.request('/v1/proxies/sidecar~10.0.0.1~n.default~x/config')).text();
    expect(text).toContain('[redacted]');
    expect(text).not.toContain('PRIVATE');
    const clusters = (await (
      await admin.request('/v1/proxies/sidecar~10.0.0.1~n.default~x/config?type=clusters')
    ).json()) as object;
    expect(Object.keys(clusters)).toEqual(['clusters']);
    expect((await admin.request('/v1/proxies/sidecar~10.0.0.1~n.default~x/config?type=pods')).status).toBe(400);
    expect((await admin.request('/v1/proxies/unknown/config')).status).toBe(404);
  });
});
