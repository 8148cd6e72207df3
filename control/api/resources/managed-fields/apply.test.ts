import { beforeEach, describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../../shared/resources/index.ts';
import { memoryStore } from '../../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../../app.ts';

const configMap = '/api/v1/namespaces/default/configmaps/c';
const service = '/api/v1/namespaces/default/services/s';
const entry = '/apis/networking.istio.io/v1/namespaces/default/serviceentries/e';

let app: ReturnType<typeof createApi>;

beforeEach(async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  app = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
});

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what an API answers is judged field by field
  body: any;
}

async function call(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Answer> {
  const headers = { authorization: 'Bearer admin', 'content-type': type, 'user-agent': 'unit/1.0 (test)' };
  const text = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await app.request(path, { method, headers, ...text });
  return { status: response.status, body: await response.json() };
}

const apply = (path: string, manager: string, body: unknown, query = '') =>
  call('PATCH', `${path}?fieldManager=${manager}${query}`, body, 'application/apply-patch+yaml');

const cm = (data: Record<string, unknown>, metadata = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'c', ...metadata },
  data,
});

const svc = (ports: unknown[], spec = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 's' },
  spec: { ports, ...spec },
});

function owners({ body }: Answer): Record<string, unknown> {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const entries: any[] = body.metadata.managedFields ?? [];
  return Object.fromEntries(entries.map((each) => [`${each.manager}/${each.operation}`, each.fieldsV1]));
}

describe('server-side apply', () => {
  it('creates, then merges what two managers apply', async () => {
    const first = await apply(configMap, 'one', cm({ a: '1' }));
    expect([first.status, owners(first)]).toEqual([201, { 'one/Apply': { 'f:data': { 'f:a': {} } } }]);
    const second = await apply(configMap, 'two', cm({ b: '2' }));
    expect([second.status, second.body.data]).toEqual([200, { a: '1', b: '2' }]);
    expect(owners(second)['two/Apply']).toEqual({ 'f:data': { 'f:b': {} } });
  });

  it('takes away what a manager gives up, unless another one owns it', async () => {
    await apply(configMap, 'one', cm({ a: '1', b: '2' }));
    await apply(configMap, 'two', cm({ b: '2' }));
    const left = await apply(configMap, 'one', cm({}));
    expect(left.body.data).toEqual({ b: '2' });
    expect(owners(left)['two/Apply']).toEqual({ 'f:data': { 'f:b': {} } });
  });

  it('refuses to change what another manager owns, and does so with force', async () => {
    await apply(configMap, 'one', cm({ a: '1', b: '1' }));
    const refused = await apply(configMap, 'two', cm({ a: '2' }));
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({
      reason: 'Conflict',
      message: 'Apply failed with 1 conflict: conflict with "one": .data.a',
      details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.a' }] },
    });
    const several = await apply(configMap, 'two', cm({ a: '2', b: '2' }));
    expect(several.body.message).toBe('Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b');
    const forced = await apply(configMap, 'two', cm({ a: '2' }), '&force=true');
    expect([forced.status, forced.body.data]).toEqual([200, { a: '2', b: '1' }]);
    expect(owners(forced)).toEqual({
      'one/Apply': { 'f:data': { 'f:b': {} } },
      'two/Apply': { 'f:data': { 'f:a': {} } },
    });
  });

  it('names the version of a manager that updated', async () => {
    await call('POST', '/api/v1/namespaces/default/configmaps', cm({ a: '1' }));
    const { body } = await apply(configMap, 'two', cm({ a: '2' }));
    expect(body.message).toMatch(/^Apply failed with 1 conflict: conflict with "unit" using v1: \.data\.a$/);
  });

  it('keeps the resourceVersion when nothing changes', async () => {
    const first = await apply(configMap, 'one', cm({ a: '1' }));
    const again = await apply(configMap, 'one', cm({ a: '1' }));
    expect(again.body).toEqual(first.body);
  });

  it('merges ports by number and protocol, and replaces selectors whole', async () => {
    await apply(service, 'one', svc([{ port: 80, name: 'http' }], { selector: { a: 'b', c: 'd' } }));
    const two = await apply(service, 'two', svc([{ port: 81, name: 'more', protocol: 'TCP' }]));
    expect(two.body.spec.ports).toEqual([
      { port: 80, name: 'http' },
      { port: 81, name: 'more', protocol: 'TCP' },
    ]);
    expect(owners(two)['one/Apply']).toEqual({
      'f:spec': {
        'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } },
        'f:selector': {},
      },
    });
    const gone = await apply(service, 'one', svc([{ port: 80, name: 'http' }]));
    expect(gone.body.spec.selector).toBeUndefined();
  });

  it('merges by the keys of an Istio CRD and replaces unmarked lists', async () => {
    const body = (spec: object) => ({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'e' },
      spec,
    });
    await apply(
      entry,
      'one',
      body({ hosts: ['a.example.com'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }] }),
    );
    const two = await apply(entry.replace('/v1/', '/v1beta1/'), 'two', {
      ...body({ ports: [{ number: 81, name: 'more', protocol: 'HTTP' }] }),
      apiVersion: 'networking.istio.io/v1beta1',
    });
    expect(two.body.spec.ports.map(({ name }: { name: string }) => name)).toEqual(['http', 'more']);
    const hosts = await apply(entry, 'three', body({ hosts: ['b.example.com'] }));
    expect(hosts.body.message).toContain('conflict with "one": .spec.hosts');
  });

  it('refuses a keyed list with the same entry twice', async () => {
    const ports = [{ port: 80 }, { port: 80, name: 'x' }];
    const { status, body } = await apply(service, 'one', svc(ports));
    expect([status, body.message]).toEqual([
      422,
      expect.stringContaining('duplicate entries for key [port=80,protocol="TCP"]'),
    ]);
  });

  it('writes nothing on a dry run', async () => {
    expect((await apply(configMap, 'one', cm({ a: '1' }), '&dryRun=All')).status).toBe(201);
    expect((await call('GET', configMap)).status).toBe(404);
  });

  it('refuses an apply without manager, in CBOR, with managedFields, or of another revision', async () => {
    expect((await call('PATCH', configMap, cm({}), 'application/apply-patch+yaml')).status).toBe(422);
    expect((await call('PATCH', `${configMap}?fieldManager=x`, cm({}), 'application/apply-patch+cbor')).status).toBe(
      415,
    );
    expect((await apply(configMap, 'one', cm({}, { managedFields: [] }))).status).toBe(400);
    await apply(configMap, 'one', cm({ a: '1' }));
    expect((await apply(configMap, 'one', cm({ a: '2' }, { resourceVersion: '1' }))).status).toBe(409);
    expect((await apply(configMap, 'one', cm({ a: '2' }, { uid: 'other' }))).status).toBe(409);
  });

  it('needs the right to create where it creates', async () => {
    const store = memoryStore();
    await createInitialNamespaces(store);
    const asked: string[] = [];
    const allows = (_user: unknown, { verb }: { verb: string }) => {
      asked.push(verb);
      return verb === 'create' ? undefined : 'by test';
    };
    const authorizer = { allows, rulesOf: () => [] };
    app = createApi({
      store,
      kinds: { kinds, validate },
      isAdmin: (token) => token === 'admin',
      version: '0.1.0',
      authorizer,
    });
    expect((await apply(configMap, 'one', cm({ a: '1' }))).status).toBe(403);
    expect(asked).toEqual(['patch', 'create']);
    expect((await call('GET', configMap)).status).toBe(404);
  });

  it('takes fields that kubectl applied on the client before', async () => {
    const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(cm({ a: '1' })) };
    await call(
      'POST',
      '/api/v1/namespaces/default/configmaps?fieldManager=kubectl-client-side-apply',
      cm({ a: '1' }, { annotations }),
    );
    const { status, body } = await apply(configMap, 'kubectl', cm({ a: '2' }));
    expect([status, body.data]).toEqual([200, { a: '2' }]);
    expect(body.metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']).toContain('"a":"2"');
  });
});

describe('owners of updates', () => {
  it('tracks what a create and a patch change', async () => {
    const created = await call('POST', '/api/v1/namespaces/default/configmaps', cm({ a: '1' }, { labels: { x: 'y' } }));
    expect(owners(created)).toEqual({
      'unit/Update': { 'f:data': { '.': {}, 'f:a': {} }, 'f:metadata': { 'f:labels': { '.': {}, 'f:x': {} } } },
    });
    const patched = await call(
      'PATCH',
      `${configMap}?fieldManager=p`,
      { data: { a: '2' } },
      'application/merge-patch+json',
    );
    expect(owners(patched)['p/Update']).toEqual({ 'f:data': { 'f:a': {} } });
    expect(patched.body.metadata.generation).toBe(2);
  });

  it('keeps the owners of a body without managedFields and forgets them on request', async () => {
    const first = await apply(configMap, 'one', cm({ a: '1' }));
    const put = await call('PUT', configMap, cm({ a: '1' }));
    expect(put.body.metadata.managedFields).toEqual(first.body.metadata.managedFields);
    const reset = { metadata: { managedFields: [{}] } };
    const patched = await call('PATCH', configMap, reset, 'application/merge-patch+json');
    expect(patched.body.metadata.managedFields).toBeUndefined();
    const again = await apply(configMap, 'two', cm({ a: '1' }));
    expect(Object.keys(owners(again))).toEqual(['two/Apply', 'before-first-apply/Update']);
  });

  it('refuses managedFields that are not well-formed', async () => {
    await apply(configMap, 'one', cm({ a: '1' }));
    const bad = { manager: 'x', operation: 'Apply', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { data: {} } };
    const { status, body } = await call(
      'PATCH',
      configMap,
      { metadata: { managedFields: [bad] } },
      'application/merge-patch+json',
    );
    expect([status, body.details.causes[0].field]).toEqual([422, 'metadata.managedFields[0].fieldsV1']);
  });
});
