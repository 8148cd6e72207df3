import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { kindOf, kinds, validate } from '../../shared/resources/index.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { ObjectLife } from '../lifecycle/object-life.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { createApi, createInitialNamespaces } from './app.ts';
import { customResourceDefinition } from './openapi/custom-resources.ts';
import { reviewKinds } from './openapi/review-kinds.ts';

const virtualServices = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';
const configMaps = '/api/v1/namespaces/default/configmaps';
const services = '/api/v1/namespaces/default/services';

let store: ResourceStore;
let app: ReturnType<typeof createApi>;
let life: ObjectLife;

beforeEach(async () => {
  store = memoryStore({ historyLimit: 20 });
  await createInitialNamespaces(store);
  app = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
  life = new ObjectLife({ store, kindOf, keyOf });
  await life.start();
});
afterEach(() => life.stop());

function keyOf({ apiVersion, kind: name, metadata: { namespace = '', name: resource } }: Resource) {
  const kind = kindOf(apiVersion, name);
  return kind && { group: kind.group, plural: kind.plural, namespace, name: resource };
}

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what an API answers is judged field by field
  body: any;
  headers: Headers;
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const payload = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await app.request(path, {
    method,
    headers: {
      authorization: 'Bearer admin',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...payload,
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text, headers: response.headers };
}

const patch = (path: string, type: string, body: unknown) =>
  call('PATCH', path, body, { 'content-type': `application/${type}+json` });

const virtualService = (name: string, host = 'reviews', version = 'v1') => ({
  apiVersion: `networking.istio.io/${version}`,
  kind: 'VirtualService',
  metadata: { name },
  spec: { hosts: [host], http: [{ route: [{ destination: { host } }] }] },
});
/** Valid but for its name. */
const named = (kind: 'Namespace' | 'Service', name: string) => ({
  apiVersion: 'v1',
  kind,
  metadata: { name },
  ...(kind === 'Service' ? { spec: { ports: [{ port: 80 }] } } : {}),
});
const configMap = (name: string, data: Record<string, string>, labels?: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...(labels ? { labels } : {}) },
  data,
});

const withMeta = (metadata: object) => ({ ...configMap('a', {}), metadata: { name: 'a', ...metadata } });
const owner = (name: string, uid: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, uid, controller: true });

describe('authorization', () => {
  it('401 to anonymous callers, 403 to a workload, health and version to everyone', async () => {
    const anonymous = await call('GET', virtualServices, undefined, { authorization: '' });
    expect(anonymous).toMatchObject({ status: 401, body: { kind: 'Status', reason: 'Unauthorized', code: 401 } });
    expect(anonymous.headers.get('www-authenticate')).toBe('Bearer');
    expect((await call('GET', '/apis', undefined, { authorization: 'Bearer wrong' })).status).toBe(401);
    const peer = { peerSpiffeId: 'spiffe://cluster.local/ns/default/sa/reviews' };
    const workload = await app.request(virtualServices, {}, peer);
    expect(workload.status).toBe(403);
    expect((await app.request(virtualServices, {}, { peerSpiffeId: 'spiffe://cluster.local/other' })).status).toBe(401);
    for (const path of ['/healthz', '/livez', '/readyz', '/version'])
      expect((await call('GET', path, undefined, { authorization: '' })).status).toBe(200);
  });

  it('obeys impersonation: the request has the rights of that user alone', async () => {
    const created = await call('POST', virtualServices, virtualService('a'), { 'impersonate-user': 'jane' });
    expect(created).toMatchObject({
      status: 403,
      body: {
        reason: 'Forbidden',
        details: { group: 'networking.istio.io', kind: 'virtualservices' },
        message:
          'virtualservices.networking.istio.io is forbidden: User "jane" cannot create resource "virtualservices" in API group "networking.istio.io" in the namespace "default"',
      },
    });
    expect((await call('GET', `${virtualServices}/a`)).status).toBe(404);
    expect((await call('GET', '/apis', undefined, { 'impersonate-group': 'system:masters' })).status).toBe(400);
  });
});

describe('resources', () => {
  it('create, get, list, replace, delete; any served version reads and writes the same resource', async () => {
    const created = await call('POST', virtualServices, virtualService('reviews'));
    expect(created.status).toBe(201);
    expect(created.body.metadata).toMatchObject({ name: 'reviews', namespace: 'default', generation: 1 });
    const beta = virtualServices.replace('/v1/', '/v1beta1/');
    const read = await call('GET', `${beta}/reviews`);
    expect(read.body).toEqual({ ...created.body, apiVersion: 'networking.istio.io/v1beta1' });
    const changed = await call('PUT', `${beta}/reviews`, { ...read.body, spec: virtualService('x', 'ratings').spec });
    expect(changed.body).toMatchObject({ apiVersion: 'networking.istio.io/v1beta1', metadata: { generation: 2 } });
    const everywhere = await call('GET', '/apis/networking.istio.io/v1/virtualservices');
    expect(everywhere.body).toMatchObject({
      kind: 'VirtualServiceList',
      items: [{ apiVersion: 'networking.istio.io/v1', spec: { hosts: ['ratings'] } }],
    });
    expect((await call('PUT', `${virtualServices}/reviews`, created.body)).body).toMatchObject({
      code: 409,
      reason: 'Conflict',
    });
    const deleted = await call('DELETE', `${virtualServices}/reviews`);
    expect(deleted.body).toMatchObject({ kind: 'Status', status: 'Success', details: { name: 'reviews' } });
    expect((await call('GET', `${virtualServices}/reviews`)).body).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'virtualservices.networking.istio.io "reviews" not found',
      reason: 'NotFound',
      details: { name: 'reviews', group: 'networking.istio.io', kind: 'virtualservices' },
      code: 404,
    });
  });

  it('refuses an invalid resource with every violation, and writes nothing', async () => {
    const bad = virtualService('bad') as { spec: Record<string, unknown> };
    bad.spec['hosts'] = 1;
    bad.spec['exportTo'] = ['', {}];
    const refused = await call('POST', virtualServices, bad);
    expect(refused).toMatchObject({ status: 422, body: { reason: 'Invalid', details: { kind: 'VirtualService' } } });
    const fields = refused.body.details.causes.map((cause: { field: string }) => cause.field);
    expect(fields).toEqual(expect.arrayContaining(['spec.hosts', 'spec.exportTo[1]']));
    expect((await call('GET', virtualServices)).body.items).toEqual([]);
  });

  it.each([
    ['a second of the name', 'POST', configMaps, configMap('here', {}), 409, 'AlreadyExists'],
    ['a missing namespace', 'POST', '/api/v1/namespaces/nowhere/configmaps', configMap('a', {}), 404, 'NotFound'],
    ['another kind', 'POST', configMaps, virtualService('a'), 400, 'BadRequest'],
    [
      "a version that is not the path's",
      'POST',
      virtualServices,
      virtualService('a', 'a', 'v1beta1'),
      400,
      'BadRequest',
    ],
    [
      'another namespace',
      'POST',
      configMaps,
      { ...configMap('a', {}), metadata: { name: 'a', namespace: 'b' } },
      400,
      'BadRequest',
    ],
    ['another name', 'PUT', `${configMaps}/here`, configMap('there', {}), 400, 'BadRequest'],
    ['an absent resource', 'PUT', `${configMaps}/absent`, configMap('absent', {}), 404, 'NotFound'],
    [
      'a given resourceVersion',
      'POST',
      configMaps,
      { ...configMap('a', {}), metadata: { name: 'a', resourceVersion: '1' } },
      400,
      'BadRequest',
    ],
    ['no name', 'POST', configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: {} }, 422, 'Invalid'],
    ['a name in upper case', 'POST', virtualServices, virtualService('Upper'), 422, 'Invalid'],
    ['a namespace with a dot', 'POST', '/api/v1/namespaces', named('Namespace', 'a.b'), 422, 'Invalid'],
    ['a service that begins with a digit', 'POST', services, named('Service', '1a'), 422, 'Invalid'],
    ['a finalizer that is no name', 'POST', configMaps, withMeta({ finalizers: ['a b'] }), 422, 'Invalid'],
    ['an owner without uid', 'POST', configMaps, withMeta({ ownerReferences: [owner('a', '')] }), 422, 'Invalid'],
    [
      'two controllers',
      'POST',
      configMaps,
      withMeta({ ownerReferences: [owner('a', '1'), owner('b', '2')] }),
      422,
      'Invalid',
    ],
    ['broken JSON', 'POST', configMaps, '{', 400, 'BadRequest'],
    ['a list', 'POST', configMaps, '[]', 400, 'BadRequest'],
    ['__proto__', 'POST', configMaps, '{"__proto__":{}}', 400, 'BadRequest'],
    ['deep nesting', 'POST', configMaps, `${'['.repeat(200)}${']'.repeat(200)}`, 400, 'BadRequest'],
    ['too much', 'POST', configMaps, configMap('a', { a: 'x'.repeat(3 * 1024 * 1024) }), 413, 'RequestEntityTooLarge'],
    ['all namespaces together', 'DELETE', '/api/v1/namespaces', undefined, 405, 'MethodNotAllowed'],
    ['a collection of all namespaces', 'DELETE', '/api/v1/configmaps', undefined, 405, 'MethodNotAllowed'],
    ['an unknown propagation', 'DELETE', `${configMaps}/here`, { propagationPolicy: 'No' }, 422, 'Invalid'],
    ['a stale uid', 'DELETE', `${configMaps}/here`, { preconditions: { uid: 'x' } }, 409, 'Conflict'],
    [
      'a precondition of another type',
      'DELETE',
      `${configMaps}/here`,
      { preconditions: { uid: 1 } },
      400,
      'BadRequest',
    ],
    ['an unknown field selector', 'GET', `${configMaps}?fieldSelector=data.a%3Db`, undefined, 400, 'BadRequest'],
    ['POST to an item', 'POST', `${configMaps}/here`, configMap('here', {}), 405, 'MethodNotAllowed'],
    ['an unknown kind', 'GET', '/apis/networking.istio.io/v1/nothings', undefined, 404, 'NotFound'],
    ['an unknown version', 'GET', '/apis/networking.istio.io/v9/gateways', undefined, 404, 'NotFound'],
    ['an unknown path', 'GET', '/nothing', undefined, 404, 'NotFound'],
    ['an initial namespace', 'DELETE', '/api/v1/namespaces/default', undefined, 403, 'Forbidden'],
    ['an old revision', 'GET', `${configMaps}?resourceVersion=1&resourceVersionMatch=Exact`, undefined, 410, 'Expired'],
    ['a bad selector', 'GET', `${configMaps}?labelSelector=a%20b`, undefined, 400, 'BadRequest'],
    ['a bad dryRun', 'POST', `${configMaps}?dryRun=Some`, configMap('a', {}), 422, 'Invalid'],
  ])('refuses %s', async (_, method, path, body, code, reason) => {
    await call('POST', configMaps, configMap('here', {}));
    const refused = await call(method, path, body);
    expect(refused).toMatchObject({ status: code, body: { kind: 'Status', status: 'Failure', reason, code } });
  });

  it('limits a body without content-length, and refuses other media types', async () => {
    const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(65536)) });
    const init = { method: 'POST', headers: { authorization: 'Bearer admin' }, body: endless, duplex: 'half' };
    expect((await app.request(configMaps, init as RequestInit)).status).toBe(413);
    expect((await call('POST', configMaps, 'a=b', { 'content-type': 'text/plain' })).body.code).toBe(415);
    expect((await call('GET', configMaps, undefined, { accept: 'application/xml' })).body.code).toBe(406);
  });

  it('selects by labels and fields', async () => {
    for (const [name, app] of [
      ['a', 'web'],
      ['b', 'db'],
      ['c', 'web'],
    ] as const)
      await call('POST', configMaps, configMap(name, {}, { app }));
    await call('POST', configMaps, configMap('d', {}));
    const names = async (query: string) =>
      (await call('GET', `${configMaps}?${query}`)).body.items.map(
        (item: { metadata: { name: string } }) => item.metadata.name,
      );
    const selected = (selector: string) => names(`labelSelector=${encodeURIComponent(selector)}`);
    expect(await selected('app=web')).toEqual(['a', 'c']);
    expect(await selected('app!=web')).toEqual(['b', 'd']);
    expect(await selected('app in (web, db),app notin (db)')).toEqual(['a', 'c']);
    expect(await selected('app')).toEqual(['a', 'b', 'c']);
    expect(await selected('!app')).toEqual(['d']);
    expect(await names('fieldSelector=metadata.name%3Db')).toEqual(['b']);
    expect(await names('fieldSelector=metadata.namespace!%3Ddefault')).toEqual([]);
  });

  it('patches: JSON patch, merge patch, strategic merge of core kinds only', async () => {
    await call('POST', configMaps, configMap('a', { one: '1', two: '2' }));
    const merged = await patch(`${configMaps}/a`, 'merge-patch', { data: { one: null, three: '3' } });
    expect(merged.body.data).toEqual({ two: '2', three: '3' });
    const test = { op: 'test', path: '/data/two', value: '2' };
    const edited = await patch(`${configMaps}/a`, 'json-patch', [
      test,
      { op: 'move', from: '/data/two', path: '/data/four' },
      { op: 'replace', path: '/data/three', value: 'x' },
    ]);
    expect(edited.body.data).toEqual({ three: 'x', four: '2' });
    expect((await patch(`${configMaps}/a`, 'json-patch', [test])).body).toMatchObject({ code: 422, reason: 'Invalid' });
    expect((await patch(`${configMaps}/a`, 'json-patch', {})).body.code).toBe(400);
    const stale = { metadata: { resourceVersion: '1' }, data: { z: 'z' } };
    expect((await patch(`${configMaps}/a`, 'merge-patch', stale)).body.code).toBe(409);
    const invalid = await patch(`${configMaps}/a`, 'merge-patch', { data: { z: 1 } });
    expect(invalid.body).toMatchObject({ code: 422 });
    await call('POST', virtualServices, virtualService('reviews'));
    expect((await patch(`${virtualServices}/reviews`, 'strategic-merge-patch', {})).body.code).toBe(415);
    const applied = await call('PATCH', `${virtualServices}/reviews`, '{}', {
      'content-type': 'application/apply-patch+cbor',
    });
    expect(applied.body).toMatchObject({ code: 415, reason: 'UnsupportedMediaType' });
  });

  it('merges the ports of a Service by port', async () => {
    const ports = [
      { port: 80, name: 'http' },
      { port: 81, name: 'grpc' },
    ];
    await call('POST', services, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec: { ports } });
    const merged = await patch(`${services}/a`, 'strategic-merge-patch', {
      spec: {
        '$setElementOrder/ports': [{ port: 80 }, { port: 82 }],
        ports: [
          { port: 80, name: 'http-web' },
          { port: 81, $patch: 'delete' },
          { port: 82, name: 'tcp' },
        ],
      },
    });
    expect(merged.body.spec.ports).toMatchObject([
      { port: 80, name: 'http-web' },
      { port: 82, name: 'tcp' },
    ]);
  });

  it('dryRun=All answers like the write, and writes nothing', async () => {
    expect((await call('POST', `${configMaps}?dryRun=All`, configMap('a', {}))).status).toBe(201);
    expect((await call('GET', `${configMaps}/a`)).status).toBe(404);
    await call('POST', configMaps, configMap('a', { one: '1' }));
    expect((await call('POST', `${configMaps}?dryRun=All`, configMap('a', {}))).status).toBe(409);
    expect((await call('PUT', `${configMaps}/a?dryRun=All`, configMap('a', { two: '2' }))).body.data).toEqual({
      two: '2',
    });
    expect((await call('DELETE', `${configMaps}/a?dryRun=All`)).status).toBe(200);
    expect((await call('DELETE', `${configMaps}/a`, { dryRun: ['All'] })).status).toBe(200);
    expect((await call('GET', `${configMaps}/a`)).body.data).toEqual({ one: '1' });
  });

  it('makes names, folds stringData, labels namespaces, and empties a namespace with it', async () => {
    const generated = await call('POST', configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { generateName: 'a-' },
    });
    expect(generated.body.metadata.name).toMatch(/^a-[a-z0-9]{5}$/);
    const shop = await call('POST', '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'shop' },
    });
    expect(shop.body.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'shop' });
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { a: 'b' } };
    const stored = await call('POST', '/api/v1/namespaces/shop/secrets', secret);
    expect(stored.body).toMatchObject({ type: 'Opaque', data: { a: 'Yg==' } });
    expect(stored.body.stringData).toBeUndefined();
    const deleted = await call('DELETE', '/api/v1/namespaces/shop');
    expect(deleted).toMatchObject({ status: 200, body: { kind: 'Namespace', status: { phase: 'Terminating' } } });
    await vi.waitFor(async () => expect((await call('GET', '/api/v1/namespaces/shop')).status).toBe(404));
    expect(await store.get({ group: '', plural: 'secrets', namespace: 'shop', name: 's' })).toBeUndefined();
  });

  it('deletes a collection by selectors, or nothing in a dry run, and answers with what it deleted', async () => {
    await call('POST', configMaps, configMap('a', {}, { app: 'web' }));
    await call('POST', configMaps, configMap('b', {}, { app: 'web' }));
    await call('POST', configMaps, configMap('c', {}));
    const names = async () =>
      (await call('GET', configMaps)).body.items.map((item: { metadata: { name: string } }) => item.metadata.name);
    const selected = `${configMaps}?labelSelector=app%3Dweb`;
    const pretended = await call('DELETE', selected, { kind: 'DeleteOptions', dryRun: ['All'] });
    expect(pretended.body).toMatchObject({ kind: 'ConfigMapList', items: [{ metadata: { name: 'a' } }, {}] });
    expect(await names()).toEqual(['a', 'b', 'c']);
    expect((await call('DELETE', `${selected}&fieldSelector=metadata.name!%3Da`)).body.items).toHaveLength(1);
    expect(await names()).toEqual(['a', 'c']);
    await call('DELETE', configMaps);
    expect(await names()).toEqual([]);
  });

  it('takes apiVersion and kind from the path where a body has none', async () => {
    const { apiVersion: _, kind: __, ...untyped } = configMap('a', { one: '1' });
    expect((await call('POST', `${configMaps}/`, untyped)).body).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    const replaced = await call('PUT', `${configMaps}/a`, { metadata: { name: 'a' }, data: { two: '2' } });
    expect(replaced.body.data).toEqual({ two: '2' });
  });

  it('refuses answers in protobuf alone, and chooses JSON where both are accepted', async () => {
    const protobuf = 'application/vnd.kubernetes.protobuf';
    expect((await call('GET', configMaps, undefined, { accept: protobuf })).body.code).toBe(406);
    const both = await call('GET', configMaps, undefined, { accept: `${protobuf},application/json` });
    expect(both.body.kind).toBe('ConfigMapList');
  });

  it('holds a resource with finalizers until the last is taken off', async () => {
    const held = {
      ...configMap('held', {}),
      metadata: { name: 'held', finalizers: ['example.com/a', 'example.com/b'] },
    };
    const dated = { ...held.metadata, deletionTimestamp: '2000-01-01T00:00:00Z' };
    expect(
      (await call('POST', configMaps, { ...held, metadata: dated })).body.metadata.deletionTimestamp,
    ).toBeUndefined();
    const marked = await call('DELETE', `${configMaps}/held`);
    const { deletionTimestamp } = marked.body.metadata;
    expect(marked).toMatchObject({
      status: 200,
      body: { kind: 'ConfigMap', metadata: { deletionTimestamp: expect.stringMatching(/Z$/), generation: 2 } },
    });
    expect((await call('DELETE', `${configMaps}/held`)).body.metadata).toEqual(marked.body.metadata);
    const accepted = await call('DELETE', `${configMaps}/held`, { orphanDependents: false });
    expect(accepted.status).toBe(202);
    const added = await patch(`${configMaps}/held`, 'merge-patch', { metadata: { finalizers: ['example.com/c'] } });
    expect(added.body).toMatchObject({ code: 422, details: { causes: [{ field: 'metadata.finalizers' }] } });
    const kept = await call('PUT', `${configMaps}/held`, {
      ...configMap('held', {}),
      metadata: { name: 'held', finalizers: ['example.com/b'] },
    });
    expect(kept.body.metadata).toMatchObject({ deletionTimestamp, finalizers: ['example.com/b'] });
    const last = await patch(`${configMaps}/held`, 'merge-patch', { metadata: { finalizers: null } });
    expect(last.body.metadata.name).toBe('held');
    expect((await call('GET', `${configMaps}/held`)).status).toBe(404);
  });

  it('refuses new content to a namespace that is being deleted', async () => {
    await call('POST', '/api/v1/namespaces', named('Namespace', 'shop'));
    const inShop = configMaps.replace('default', 'shop');
    const held = { ...configMap('held', {}), metadata: { name: 'held', finalizers: ['example.com/hold'] } };
    await call('POST', inShop, held);
    await call('DELETE', '/api/v1/namespaces/shop');
    expect((await call('POST', inShop, configMap('late', {}))).body).toMatchObject({
      code: 403,
      message:
        'configmaps "late" is forbidden: unable to create new content in namespace shop because it is being terminated',
      details: { causes: [{ reason: 'NamespaceTerminating' }] },
    });
    await patch(`${inShop}/held`, 'merge-patch', { metadata: { finalizers: null } });
    await vi.waitFor(async () => expect((await call('GET', '/api/v1/namespaces/shop')).status).toBe(404));
  });

  it('replaces and patches the status alone, below kinds that have one', async () => {
    const { body: made } = await call('POST', virtualServices, { ...virtualService('a'), status: { ignored: true } });
    expect(made.status).toBeUndefined();
    const path = `${virtualServices}/a/status`;
    const ready = { conditions: [{ type: 'Ready', status: 'True' }] };
    const put = await call('PUT', path, { ...made, spec: { hosts: ['other'] }, status: ready });
    expect(put.body).toMatchObject({ spec: { hosts: ['reviews'] }, status: ready, metadata: { generation: 1 } });
    expect((await call('PUT', path, { ...made, status: {} })).body).toMatchObject({ code: 409, reason: 'Conflict' });
    const merged = await patch(path, 'merge-patch', { spec: { hosts: ['no'] }, status: { observedGeneration: 1 } });
    expect(merged.body).toMatchObject({ spec: { hosts: ['reviews'] }, status: { ...ready, observedGeneration: 1 } });
    expect((await call('PUT', `${path}?dryRun=All`, { metadata: { name: 'a' } })).body.status).toBeUndefined();
    expect((await call('GET', path)).body).toEqual(merged.body);
    expect((await patch(path, 'merge-patch', { status: 1 })).body.code).toBe(400);
    expect((await call('PUT', path, virtualService('b'))).body.code).toBe(400);
    expect((await call('DELETE', path)).body.code).toBe(405);
    await call('POST', configMaps, configMap('a', {}));
    expect((await call('GET', `${configMaps}/a/status`)).body.code).toBe(404);
    expect((await call('GET', `${virtualServices}/a/scale`)).body.code).toBe(404);
    const phase = await patch('/api/v1/namespaces/default/status', 'merge-patch', { status: { note: 'x' } });
    expect(phase.body.status).toEqual({ phase: 'Active', note: 'x' });
  });

  it('lists in pages of one revision', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await call('POST', configMaps, configMap(name, {}, { app: name }));
    const page = async (query: string) => (await call('GET', `${configMaps}?limit=2&${query}`)).body;
    const first = await page('');
    expect(first.metadata).toMatchObject({ remainingItemCount: 3, continue: expect.any(String) });
    await call('DELETE', `${configMaps}/c`);
    await call('POST', configMaps, configMap('bb', {}));
    const second = await page(`continue=${first.metadata.continue}`);
    expect(second.items.map((item: Resource) => item.metadata.name)).toEqual(['c', 'd']);
    expect(second.metadata).toMatchObject({ resourceVersion: first.metadata.resourceVersion, remainingItemCount: 1 });
    const last = await page(`continue=${second.metadata.continue}`);
    expect(last).toMatchObject({ metadata: {}, items: [{ metadata: { name: 'e' } }] });
    expect(last.metadata.continue).toBeUndefined();
    const selective = await page('labelSelector=app');
    expect(selective.metadata.continue).toBeDefined();
    expect(selective.metadata.remainingItemCount).toBeUndefined();
    expect((await page(`continue=${first.metadata.continue}&resourceVersion=3`)).code).toBe(400);
    for (const bad of ['x', 'e30', Buffer.from('{"v":"tulle/1","rv":0,"n":1,"after":["",""]}').toString('base64url')])
      expect(await page(`continue=${bad}`)).toMatchObject({ code: 400, reason: 'BadRequest' });
  });

  it('continues after a restart where nothing changed, else with 410 and a token for the rest', async () => {
    for (const name of ['a', 'b', 'c']) await call('POST', configMaps, configMap(name, {}));
    const { body: first } = await call('GET', `${configMaps}?limit=1`);
    const restart = () => {
      app = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
    };
    const next = async (token: string) => (await call('GET', `${configMaps}?limit=1&continue=${token}`)).body;
    restart();
    expect((await next(first.metadata.continue)).items).toMatchObject([{ metadata: { name: 'b' } }]);
    restart();
    await call('DELETE', `${configMaps}/c`);
    const gone = await next(first.metadata.continue);
    expect(gone).toMatchObject({
      code: 410,
      reason: 'Expired',
      message: expect.stringContaining('continue parameter'),
    });
    expect((await next(gone.metadata.continue)).items).toMatchObject([{ metadata: { name: 'b' } }]);
  });

  it.each([
    ['resourceVersionMatch=Exact', 422],
    ['resourceVersionMatch=Exact&resourceVersion=0', 422],
    ['resourceVersionMatch=Some&resourceVersion=1', 422],
    ['sendInitialEvents=true', 422],
    ['watch=1&sendInitialEvents=true', 422],
    ['watch=1&resourceVersionMatch=NotOlderThan', 422],
    ['limit=x', 400],
    ['resourceVersion=x', 400],
    ['resourceVersion=999999', 504],
  ])('refuses a list with %s', async (query, code) => {
    expect((await call('GET', `${configMaps}?${query}`)).body).toMatchObject({ kind: 'Status', code });
  });

  it('answers health whole and check by check', async () => {
    expect((await call('GET', '/readyz?verbose')).body).toBe('[+]ping ok\n[+]store ok\nreadyz check passed\n');
    expect((await call('GET', '/readyz/store')).body).toBe('ok');
    expect((await call('GET', '/livez/')).body).toBe('ok');
    expect((await call('GET', '/readyz/nothing')).status).toBe(404);
    await store.close();
    expect(await call('GET', '/readyz?verbose')).toMatchObject({
      status: 500,
      body: '[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n',
    });
    expect((await call('GET', '/readyz?exclude=store')).status).toBe(200);
    expect((await call('GET', '/livez')).status).toBe(200);
    store = memoryStore();
    await life.stop();
  });

  it('serves the definitions of its custom kinds, read-only', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const { body: list } = await call('GET', path);
    const names = list.items.map((item: Resource) => item.metadata.name);
    expect(names).toContain('virtualservices.networking.istio.io');
    expect(names).not.toContain('endpointslices.discovery.k8s.io');
    const one = (await call('GET', `${path}/gateways.networking.istio.io`)).body;
    expect(one).toMatchObject({
      spec: { names: { kind: 'Gateway' }, scope: 'Namespaced', versions: [{ name: 'v1', storage: true }, {}, {}] },
      status: { conditions: [{}, { type: 'Established', status: 'True' }] },
    });
    const { properties } = one.spec.versions[0].schema.openAPIV3Schema;
    expect(Object.keys(properties).sort()).toEqual(['spec', 'status']);
    expect(JSON.stringify(list)).not.toContain('$ref');
    const made = { metadata: { name: 'gateways.networking.istio.io' } };
    expect((await call('POST', path, made)).body.reason).toBe('AlreadyExists');
    expect((await call('POST', path, { metadata: { name: 'a.b' } })).body.code).toBe(405);
    expect((await call('DELETE', `${path}/gateways.networking.istio.io`)).body.code).toBe(405);
    const headers = { authorization: 'Bearer admin' };
    const watched = await (await app.request(`${path}?watch=1&timeoutSeconds=1`, { headers })).text();
    const lines = watched.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).object.metadata.name)).toEqual(names);
  });

  it('prints Services, EndpointSlices and ServiceAccounts as kubectl does', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const cells = async (path: string) => (await call('GET', path, undefined, { accept })).body.rows[0].cells;
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, nodePort: 30053, protocol: 'UDP' },
    ];
    const spec = { type: 'LoadBalancer', clusterIP: '10.0.0.1', ports, selector: { app: 'a' } };
    await call('POST', services, { metadata: { name: 'a' }, spec });
    const row = await cells(services);
    expect([...row.slice(0, 5), row[6]]).toEqual([
      'a',
      'LoadBalancer',
      '10.0.0.1',
      '<pending>',
      '80/TCP,53:30053/UDP',
      'app=a',
    ]);
    const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
    const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
    const endpoints = addresses.map((address) => ({ addresses: [address] }));
    const posted = await call('POST', slices, {
      metadata: { name: 's' },
      addressType: 'IPv4',
      endpoints,
      ports: [{ port: 80 }],
    });
    expect(posted.status).toBe(201);
    expect((await cells(slices)).slice(1, 4)).toEqual(['IPv4', '80', '10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...']);
    const accounts = '/api/v1/namespaces/default/serviceaccounts';
    await call('POST', accounts, { metadata: { name: 's' } });
    expect((await cells(accounts)).slice(0, 2)).toEqual(['s', 0]);
  });

  it('lists its paths at the root, and its schemas as Swagger 2.0', async () => {
    expect((await call('GET', '/')).body.paths).toEqual(
      expect.arrayContaining(['/api/v1', '/apis/networking.istio.io/v1']),
    );
    const { body } = await call('GET', '/openapi/v2');
    expect(body).toMatchObject({ swagger: '2.0', definitions: { 'io.istio.networking.v1.VirtualService': {} } });
    const used = new Set([...JSON.stringify(body).matchAll(/"#\/definitions\/([^"]+)"/g)].map(([, name]) => name));
    expect([...used].filter((name) => !Object.hasOwn(body.definitions, name!))).toEqual([]);
    expect((await call('GET', '/', undefined, { authorization: '' })).status).toBe(401);
  });

  it('counts the values of ConfigMaps and Secrets in their tables', async () => {
    await call('POST', configMaps, { ...configMap('c', { a: '1', b: '2' }), binaryData: { c: 'Yg==' } });
    await call('POST', configMaps, configMap('empty', {}));
    const secrets = '/api/v1/namespaces/default/secrets';
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { a: 'b' } };
    await call('POST', secrets, { ...secret, data: { b: 'Yg==' } });
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const rows = async (path: string) =>
      (await call('GET', path, undefined, { accept })).body.rows.map(({ cells }: { cells: unknown[] }) =>
        cells.slice(0, -1),
      );
    expect(await rows(configMaps)).toEqual([
      ['c', 3],
      ['empty', 0],
    ]);
    expect(await rows(secrets)).toEqual([['s', 'Opaque', 2]]);
  });

  it('answers a Table when asked for one', async () => {
    await call('POST', virtualServices, virtualService('reviews'));
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
    const { body } = await call('GET', virtualServices, undefined, { accept });
    expect(body.kind).toBe('Table');
    const columns = body.columnDefinitions.map((column: { name: string }) => column.name);
    expect(columns[0]).toBe('Name');
    const cells = body.rows[0].cells;
    expect(cells[0]).toBe('reviews');
    expect(cells[columns.indexOf('Hosts')]).toBe('["reviews"]');
    expect(cells[columns.indexOf('Age')]).toMatch(/^\d+s$/);
    expect(cells[columns.indexOf('Condition')]).toBe('');
    expect(body.rows[0].object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { namespace: 'default' } });
  });
});

describe('watch', () => {
  async function watch(query: string, stop = new AbortController()) {
    const response = await app.request(`${configMaps}?watch=1&${query}`, {
      headers: { authorization: 'Bearer admin' },
      signal: stop.signal,
    });
    expect(response.status).toBe(200);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    /** The next event as `TYPE name`, or undefined at the end. */
    const next = async () => {
      while (!rest.includes('\n')) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        rest += value;
      }
      const line = rest.slice(0, rest.indexOf('\n'));
      rest = rest.slice(line.length + 1);
      return JSON.parse(line) as {
        type: string;
        object: { code?: number; metadata: { name?: string; annotations?: unknown } };
      };
    };
    const brief = async () => {
      const event = await next();
      return event && `${event.type} ${event.object.metadata.name}`;
    };
    return { next, brief, stop };
  }

  it('begins with the existing resources, or after a revision, and then sends changes', async () => {
    const first = await call('POST', configMaps, configMap('a', {}));
    const all = await watch('');
    const later = await watch(`resourceVersion=${first.body.metadata.resourceVersion}`);
    await call('POST', configMaps, configMap('b', {}));
    await call('DELETE', `${configMaps}/a`);
    expect([await all.brief(), await all.brief(), await all.brief()]).toEqual(['ADDED a', 'ADDED b', 'DELETED a']);
    expect([await later.brief(), await later.brief()]).toEqual(['ADDED b', 'DELETED a']);
    all.stop.abort();
    later.stop.abort();
    expect(await all.brief()).toBeUndefined();
  });

  it('under a label selector reports resources that begin and cease to match', async () => {
    const web = await watch('labelSelector=app%3Dweb');
    await call('POST', configMaps, configMap('a', {}));
    await call('PUT', `${configMaps}/a`, configMap('a', {}, { app: 'web' }));
    await call('PUT', `${configMaps}/a`, configMap('a', { x: 'y' }, { app: 'web' }));
    await call('PUT', `${configMaps}/a`, configMap('a', {}, { app: 'db' }));
    await call('DELETE', `${configMaps}/a`);
    await call('POST', configMaps, configMap('b', {}, { app: 'web' }));
    expect([await web.brief(), await web.brief(), await web.brief(), await web.brief()]).toEqual([
      'ADDED a',
      'MODIFIED a',
      'DELETED a',
      'ADDED b',
    ]);
    web.stop.abort();
  });

  it('ends with a 410 event when history was compacted, and at the timeout', async () => {
    for (let at = 0; at < 60; at++) await call('POST', configMaps, configMap(`c${at}`, {}));
    const old = await watch('resourceVersion=2');
    expect(await old.next()).toMatchObject({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } });
    expect(await old.next()).toBeUndefined();
    const short = await watch(`resourceVersion=${await store.revision()}&timeoutSeconds=1`);
    expect(await short.next()).toBeUndefined();
  });

  it('marks the end of the initial events when asked', async () => {
    await call('POST', configMaps, configMap('a', {}));
    const all = await watch('sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true');
    expect(await all.brief()).toBe('ADDED a');
    expect(await all.next()).toMatchObject({
      type: 'BOOKMARK',
      object: { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } },
    });
    all.stop.abort();
  });
});

describe('discovery documents', () => {
  it('name every kind in every version', async () => {
    const { body: groups } = await call('GET', '/apis');
    for (const { name, versions } of groups.groups as { name: string; versions: { version: string }[] }[])
      for (const { version } of versions) {
        const { body } = await call('GET', `/apis/${name}/${version}`);
        const served = [...kinds, ...reviewKinds, customResourceDefinition].filter(
          (kind) => kind.group === name && kind.versions.includes(version),
        );
        const names = body.resources.map((resource: { name: string }) => resource.name);
        expect(names.filter((name: string) => !name.includes('/'))).toEqual(served.map((kind) => kind.plural));
      }
    expect((await call('GET', '/api')).body.versions).toEqual(['v1']);
    expect((await call('GET', '/api/v1')).body.resources).toContainEqual(
      expect.objectContaining({ name: 'namespaces', kind: 'Namespace', namespaced: false }),
    );
  });
});
