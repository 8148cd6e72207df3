/** `fieldValidation` on every write: what is refused, warned of and stored. */
import { beforeEach, describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../app.ts';

const collection = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';
const one = `${collection}/reviews`;
let app: ReturnType<typeof createApi>;

beforeEach(async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  app = createApi({ store, kinds: { kinds, validate }, isAdmin: () => true, version: '0.1.0' });
});

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what an API answers is judged field by field
  body: any;
  warnings: string | null;
}

async function send(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Answer> {
  const text = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body);
  const headers = { authorization: 'Bearer x', 'content-type': type };
  const response = await app.request(path, text === undefined ? { method, headers } : { method, headers, body: text });
  return { status: response.status, body: await response.json(), warnings: response.headers.get('warning') };
}

const resource = (spec: object = {}, more: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'reviews', ...more },
  spec: { hosts: ['reviews'], http: [{ route: [{ destination: { host: 'reviews' } }], ...spec }] },
});
const odd = () => resource({ rout: 1, timeout: '1s' }, { lables: {} });
const both = ['unknown field "metadata.lables"', 'unknown field "spec.http[0].rout"'];
const header = (messages: string[]) => messages.map((text) => `299 - "${text.replaceAll('"', '\\"')}"`).join(', ');

describe('create', () => {
  it('without a policy warns, as a Kubernetes API server does, and stores the rest', async () => {
    for (const query of ['', '?fieldValidation=Warn', '?fieldValidation=']) {
      const created = await send('POST', `${collection}${query}`, odd());
      expect(created).toMatchObject({ status: 201, warnings: header(both) });
      expect(created.body.spec.http[0]).toEqual({ route: [{ destination: { host: 'reviews' } }], timeout: '1s' });
      expect((await send('GET', one)).body.metadata).not.toHaveProperty('lables');
      await send('DELETE', one);
    }
  });
  it('Ignore stores the rest without a warning', async () => {
    const created = await send('POST', `${collection}?fieldValidation=Ignore`, odd());
    expect(created).toMatchObject({ status: 201, warnings: null });
    expect((await send('GET', one)).body.spec.http[0]).not.toHaveProperty('rout');
  });
  it('Strict refuses, naming every field, and stores nothing', async () => {
    const refused = await send('POST', `${collection}?fieldValidation=Strict`, odd());
    expect(refused).toMatchObject({
      status: 400,
      warnings: null,
      body: {
        reason: 'BadRequest',
        message: `VirtualService in version "v1" cannot be handled as a VirtualService: strict decoding error: ${both.join(', ')}`,
        details: { causes: [{ field: 'metadata.lables' }, { field: 'spec.http[0].rout' }] },
      },
    });
    expect((await send('GET', one)).status).toBe(404);
    expect((await send('POST', `${collection}?fieldValidation=Strict`, resource())).status).toBe(201);
  });
  it('an unknown field whose value is null is one too', async () => {
    const refused = await send('POST', `${collection}?fieldValidation=Strict`, resource({ rout: null }));
    expect(refused.body.message).toContain('unknown field "spec.http[0].rout"');
  });
  it('other violations are refused under every policy', async () => {
    for (const policy of ['Strict', 'Warn', 'Ignore']) {
      const refused = await send('POST', `${collection}?fieldValidation=${policy}`, resource({ timeout: 'soon' }));
      expect(refused).toMatchObject({
        status: 422,
        body: { details: { causes: [{ field: 'spec.http[0].timeout' }] } },
      });
    }
  });
  it('an unknown policy is refused', async () => {
    const refused = await send('POST', `${collection}?fieldValidation=strict`, resource());
    expect(refused).toMatchObject({ status: 422, body: { reason: 'Invalid' } });
    expect(refused.body.message).toContain('supported values: "", "Ignore", "Strict", "Warn"');
  });
});

describe('duplicate fields', () => {
  const text = JSON.stringify(resource()).replace('"hosts"', '"hosts":["a"],"hosts"');
  const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: "1"\n  a: "2"\n';
  const configMaps = '/api/v1/namespaces/default/configmaps';
  it('in JSON', async () => {
    const refused = await send('POST', `${collection}?fieldValidation=Strict`, text);
    expect(refused).toMatchObject({ status: 400 });
    expect(refused.body.message).toContain('strict decoding error: duplicate field "spec.hosts"');
    const warned = await send('POST', collection, text);
    expect(warned).toMatchObject({ status: 201, warnings: header(['duplicate field "spec.hosts"']) });
    expect(warned.body.spec.hosts).toEqual(['reviews']);
  });
  it('in YAML', async () => {
    expect((await send('POST', `${configMaps}?fieldValidation=Strict`, yaml, 'application/yaml')).status).toBe(400);
    const warned = await send('POST', configMaps, yaml, 'application/yaml');
    expect(warned).toMatchObject({ body: { data: { a: '2' } }, warnings: header(['duplicate field "data.a"']) });
  });
  it('a body that cannot be read names the place', async () => {
    const refused = await send('POST', collection, '{"a":1,\n "b":}');
    expect(refused).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
    expect(refused.body.message).toBe('the body of the request is not JSON: line 2, column 6: unexpected "}"');
    for (const body of ['a: 1\n---\nb: 1', 'a: [', '{"a":1}{"b":1}']) {
      expect((await send('POST', collection, body, 'application/yaml')).status).toBe(400);
    }
    for (const body of ['', '{"a":1}{"b":1}']) expect((await send('POST', collection, body)).status).toBe(400);
  });
});

describe('replace and patch', () => {
  beforeEach(async () => {
    expect((await send('POST', collection, resource())).status).toBe(201);
  });
  it('replace', async () => {
    expect((await send('PUT', `${one}?fieldValidation=Strict`, odd())).status).toBe(400);
    expect(await send('PUT', one, odd())).toMatchObject({ status: 200, warnings: header(both) });
    expect(await send('PUT', `${one}?fieldValidation=Ignore`, odd())).toMatchObject({ status: 200, warnings: null });
    expect((await send('GET', one)).body.spec.http[0]).not.toHaveProperty('rout');
  });
  it.each([
    ['merge-patch', { spec: { htpp: [] } }],
    ['json-patch', [{ op: 'add', path: '/spec/htpp', value: [] }]],
  ])('%s', async (type, body) => {
    const media = `application/${type}+json`;
    const refused = await send('PATCH', `${one}?fieldValidation=Strict`, body, media);
    expect(refused.body.message).toContain('strict decoding error: unknown field "spec.htpp"');
    expect(await send('PATCH', one, body, media)).toMatchObject({
      status: 200,
      warnings: header(['unknown field "spec.htpp"']),
    });
    expect(await send('PATCH', `${one}?fieldValidation=Ignore`, body, media)).toMatchObject({ warnings: null });
    expect((await send('GET', one)).body.spec).not.toHaveProperty('htpp');
  });
});
