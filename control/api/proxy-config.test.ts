import { Hono } from 'hono';
import { expect, it } from 'vitest';
import { ADMIN } from '../access/user.ts';
import { buildView } from '../mesh/build-view.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { proxyConfigRoutes } from './proxy-config.ts';

const workload: Caller = {
  kind: 'workload',
  spiffeId: 'spiffe://cluster.local/ns/shop/sa/web',
  trustDomain: 'cluster.local',
  namespace: 'shop',
  serviceAccount: 'web',
};
const view = buildView(
  [
    {
      apiVersion: 'networking.istio.io/v1beta1',
      kind: 'ProxyConfig',
      metadata: { name: 'x', namespace: 'shop' },
      spec: { concurrency: 2 },
    },
  ],
  1,
);
const node = (namespace: string, account = 'web', id = `sidecar~10.0.0.1~web.${namespace}~x`) => ({
  node: { id, metadata: { NAMESPACE: namespace, SERVICE_ACCOUNT: account } },
});

async function ask(caller: Caller, body: unknown) {
  const app = new Hono<ApiEnv>();
  app.use(async (c, next) => {
    c.set('caller', caller);
    await next();
  });
  app.route('/', proxyConfigRoutes({ view: () => view }));
  const answer = await app.request('/v1/proxy-config', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return [answer.status, await answer.json()];
}

it('sends a workload its own config', async () => {
  expect(await ask(workload, node('shop'))).toEqual([
    200,
    { concurrency: 2, drainDuration: '45s', terminationDrainDuration: '5s' },
  ]);
});

it.each([
  ['an anonymous caller', { kind: 'anonymous' } as const, node('shop'), 401, 'Unauthorized'],
  ['the admin', { kind: 'user', ...ADMIN } as const, node('shop'), 403, 'only workloads'],
  ['another namespace', workload, node('bank'), 403, 'node.id: '],
  ['another NAMESPACE', workload, node('bank', 'web', 'sidecar~10.0.0.1~web.shop~x'), 403, 'node.metadata.NAMESPACE'],
  ['another account', workload, node('shop', 'root'), 403, 'node.metadata.SERVICE_ACCOUNT'],
  ['a malformed node', workload, node('shop', 'web', 'x~10.0.0.1~web.shop~x'), 400, 'must begin with one of sidecar~'],
  ['no node', workload, {}, 400, 'node'],
  ['an unknown field', workload, { ...node('shop'), surprise: 1 }, 400, 'surprise'],
  ['no JSON', workload, '{', 400, ''],
  ['too much', workload, { node: { id: 'x'.repeat(300_000) } }, 413, ''],
])('refuses %s', async (_, caller, body, status, message) => {
  expect(await ask(caller, body)).toEqual([
    status,
    expect.objectContaining({ kind: 'Status', message: expect.stringContaining(message) }),
  ]);
});
