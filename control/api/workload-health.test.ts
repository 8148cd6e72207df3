import { Hono } from 'hono';
import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { ADMIN } from '../access/user.ts';
import { buildView } from '../mesh/build-view.ts';
import { meshForm } from '../mesh/mesh-resource.ts';
import { conditionsOf } from '../mesh/workload/workload-health.ts';
import { memoryStore } from '../store/memory.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { workloadHealthRoutes } from './workload-health.ts';

const workload: Caller = {
  kind: 'workload',
  spiffeId: 'spiffe://cluster.local/ns/shop/sa/web',
  trustDomain: 'cluster.local',
  namespace: 'shop',
  serviceAccount: 'web',
};
const entry = (name: string, address: string, serviceAccount = 'web'): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name, namespace: 'shop' },
  spec: { address, serviceAccount, labels: { app: 'web' } },
});
const service: Resource = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    hosts: ['web.example'],
    resolution: 'STATIC',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    workloadSelector: { labels: { app: 'web' } },
  },
};
const keyOf = ({ metadata: { name, namespace = '' } }: Resource) => ({
  group: 'networking.istio.io',
  plural: 'workloadentries',
  namespace,
  name,
});
const report = (address: string, healthy: boolean, account = 'web') => ({
  node: { id: `sidecar~${address}~x.shop~x`, metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: account } },
  healthy,
});

/** Who is connected with an address; default: the caller. */
const holders = new Map<string, { serial: string }[]>();

async function served(now = () => new Date()) {
  const store = memoryStore();
  for (const one of [entry('web', '10.0.0.1'), entry('other', '10.0.0.2', 'pay')]) await store.create(keyOf(one), one);
  const stored = async (name: string) => (await store.get(keyOf(entry(name, ''))))!;
  const view = buildView([await stored('web'), await stored('other')], 1);
  const app = (caller: Caller) => {
    const made = new Hono<ApiEnv>();
    made.use(async (c, next) => {
      c.set('caller', caller);
      await next();
    });
    return made.route(
      '/',
      workloadHealthRoutes({
        view: () => view,
        store,
        keyOf,
        now,
        holdersOf: (_, { id }) => holders.get(id.split('~')[1]!) ?? [{ serial: 'a' }],
        isSameMachine: (one, other) => one === (other ?? 'a'),
        leave: async () => false,
        settled: async () => true,
      }),
    );
  };
  const ask = async (body: unknown, caller: Caller = workload) => {
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    return (await app(caller).request('/v1/workload-health', init)).status;
  };
  return { ask, stored };
}

it('writes the condition of the entries of the caller, and others stay as they are', async () => {
  let at = 0;
  const { ask, stored } = await served(() => new Date((at += 5000)));
  expect(await ask(report('10.0.0.1', false))).toBe(200);
  const unhealthy = await stored('web');
  expect(conditionsOf(unhealthy)).toMatchObject([{ type: 'Healthy', status: 'False' }]);
  expect(conditionsOf(await stored('other'))).toEqual([]);
  const { resourceVersion } = unhealthy.metadata;
  expect(await ask(report('10.0.0.1', false))).toBe(200);
  expect((await stored('web')).metadata.resourceVersion).toBe(resourceVersion);
  expect(await ask(report('10.0.0.1', true))).toBe(200);
  expect(conditionsOf(await stored('web'))).toMatchObject([{ type: 'Healthy', status: 'True' }]);
});

it('an entry changes once a second at most', async () => {
  const { ask } = await served(() => new Date(7_000));
  expect(await ask(report('10.0.0.1', false))).toBe(200);
  expect(await ask(report('10.0.0.1', true))).toBe(429);
});

it.each<[string, unknown, Caller, number]>([
  ['an anonymous caller', report('10.0.0.1', false), { kind: 'anonymous' }, 401],
  ['the admin', report('10.0.0.1', false), { kind: 'user', ...ADMIN }, 403],
  ['a bearer token', report('10.0.0.1', false), { ...workload, byToken: true }, 403],
  ['an entry of another account', report('10.0.0.2', false), workload, 404],
  ['another account', report('10.0.0.2', false, 'pay'), workload, 403],
  ['an unknown address', report('10.0.0.3', false), workload, 404],
  ['no verdict', { node: report('10.0.0.1', true).node }, workload, 400],
  ['no boolean', { ...report('10.0.0.1', true), healthy: 'no' }, workload, 400],
])('refuses %s', async (_, body, caller, status) => {
  const { ask, stored } = await served();
  expect(await ask(body, caller)).toBe(status);
  for (const name of ['web', 'other']) expect(conditionsOf(await stored(name))).toEqual([]);
});

it('of a status the mesh sees that a workload is unhealthy, and nothing else', () => {
  const condition = (type: string, status: string) => ({ conditions: [{ type, status }] });
  const healthOf = (status: object | undefined) => {
    const seen = meshForm({ ...entry('web', '10.0.0.1'), ...(status && { status }) } as Resource);
    const view = buildView([service, seen], 1);
    return view.endpoints(view.services[0]!).map(({ healthy }) => healthy);
  };
  expect(healthOf(condition('Healthy', 'False'))).toEqual([false]);
  for (const status of [undefined, {}, condition('Healthy', 'True'), condition('Reconciled', 'False')])
    expect(healthOf(status)).toEqual([true]);
  expect(
    meshForm({ ...entry('web', 'x'), status: condition('Reconciled', 'False') } as Resource).status,
  ).toBeUndefined();
});

it('an entry whose proxy asks is unhealthy until the first answer', () => {
  const asked = { ...entry('web', '10.0.0.1'), status: undefined as unknown };
  asked.metadata = { ...asked.metadata, annotations: { 'proxy.istio.io/health-checks-enabled': 'true' } };
  const healthOf = (status: string | undefined) => {
    const conditions = status === undefined ? [] : [{ type: 'Healthy', status }];
    const view = buildView([service, meshForm({ ...asked, status: { conditions } } as Resource)], 1);
    return view.endpoints(view.services[0]!).map(({ healthy }) => healthy);
  };
  expect([undefined, 'True', 'False'].map(healthOf)).toEqual([[false], [true], [false]]);
});

it('takes no report about an address that another machine of the identity, or none, is connected with', async () => {
  const { ask, stored } = await served();
  holders.set('10.0.0.1', [{ serial: 'b' }, { serial: 'a' }]);
  expect(await ask(report('10.0.0.1', false))).toBe(409);
  holders.set('10.0.0.1', []);
  expect(await ask(report('10.0.0.1', false))).toBe(409);
  holders.delete('10.0.0.1');
  const claims = report('10.0.0.9', false);
  const two = { ...claims, node: { ...claims.node, metadata: { ...claims.node.metadata, INSTANCE_IPS: '10.0.0.1' } } };
  expect(await ask(two)).toBe(403);
  expect(conditionsOf(await stored('web'))).toEqual([]);
});

it('takes a workload whose proxy stops out, unless another process of it continues', async () => {
  const { ask, stored } = await served();
  holders.set('10.0.0.1', [{ serial: 'a' }, { serial: 'a' }]);
  expect(await ask({ ...report('10.0.0.1', false), draining: true })).toBe(200);
  expect(conditionsOf(await stored('web'))).toEqual([]);
  holders.delete('10.0.0.1');
  await ask({ ...report('10.0.0.1', false), draining: true });
  expect(conditionsOf(await stored('web'))).toMatchObject([{ type: 'Healthy', status: 'False', reason: 'Draining' }]);
});
