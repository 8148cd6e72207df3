/** What the webhook of Istio warns of comes with the answer of every write, and a bad mesh configuration is no write at all. */
import { beforeAll, describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../app.ts';

let api: ReturnType<typeof createApi>;
beforeAll(async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  api = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
  const made = await send('POST', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'istio-system' },
  });
  expect([201, 409]).toContain(made.status);
});

interface Answer {
  status: number;
  warning: string | null;
  body: { message?: string; details?: { causes?: unknown } };
}

async function send(method: string, path: string, body: unknown, type = 'application/json'): Promise<Answer> {
  const headers = { authorization: 'Bearer admin', 'content-type': type };
  const response = await api.request(path, { method, headers, body: JSON.stringify(body) });
  return {
    status: response.status,
    warning: response.headers.get('warning'),
    body: (await response.json()) as Answer['body'],
  };
}

const collection = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';
const route = (mirrorPercent?: number) => ({
  route: [{ destination: { host: 'a' } }],
  ...(mirrorPercent === undefined ? {} : { mirror: { host: 'b' }, mirrorPercent }),
});
const service = (name: string, http: unknown[]) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name },
  spec: { hosts: ['a'], http },
});
const UNREACHED = '299 - "spec.http[1]: is never reached: spec.http[0] before it matches everything"';

describe('Warning headers', () => {
  it('come with create, replace and patch, one each, as kubectl reads them', async () => {
    const created = await send('POST', collection, service('warned', [route(), route(5)]));
    expect(created).toMatchObject({
      status: 201,
      warning: `299 - "spec.http[1].mirrorPercent: is deprecated: use mirrorPercentage", ${UNREACHED}`,
    });
    const replaced = await send('PUT', `${collection}/warned`, service('warned', [route(), route()]));
    expect(replaced).toMatchObject({ status: 200, warning: UNREACHED });
    const patch = { metadata: { labels: { a: 'b' } } };
    const patched = await send('PATCH', `${collection}/warned`, patch, 'application/merge-patch+json');
    expect(patched).toMatchObject({ status: 200, warning: UNREACHED });
  });

  it('do not come where there is nothing to warn of', async () => {
    expect(await send('POST', collection, service('plain', [route()]))).toMatchObject({ status: 201, warning: null });
  });

  it('come with a dry run, and quote what is quoted', async () => {
    const spec = { hosts: ['a.b', 'a.b.c'], gateways: ['gw.ns.svc'], http: [route()] };
    const asked = await send('POST', `${collection}?dryRun=All`, { ...service('dry', []), spec });
    expect(asked).toMatchObject({
      status: 201,
      warning: '299 - "spec.gateways[0]: \\"gw.ns.svc\\": write namespace/name instead of a domain name"',
    });
  });
});

describe('ConfigMap istio', () => {
  const configMaps = '/api/v1/namespaces/istio-system/configmaps';
  const configMap = (data: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio' },
    data,
  });

  it('with a bad mesh configuration is refused, every fault at its place', async () => {
    const { status, body } = await send(
      'POST',
      configMaps,
      configMap({ mesh: 'connectTimeout: soon\ndefaultConfig: {proxyAdminPort: 70000}\n' }),
    );
    expect(status).toBe(422);
    expect(body.details?.causes).toEqual([
      {
        reason: 'FieldValueInvalid',
        field: 'data.mesh',
        message: 'connectTimeout: "soon" is not a duration such as "1.5s", "300ms" or "1h"',
      },
      {
        reason: 'FieldValueInvalid',
        field: 'data.mesh',
        message: 'defaultConfig.proxyAdminPort: must be a port, 1 to 65535; found 70000',
      },
    ]);
    expect(body.message).toContain('data.mesh: defaultConfig.proxyAdminPort: must be a port');
  });

  it('with an unknown field is taken, with a warning', async () => {
    const { status, warning } = await send('POST', configMaps, configMap({ mesh: 'trustDomian: x\n' }));
    expect(status).toBe(201);
    expect(warning).toBe(
      '299 - "data.mesh: trustDomian: unknown field \\"trustDomian\\" (did you mean \\"trustDomain\\"?): it is ignored"',
    );
  });

  it('cannot be patched into a bad one', async () => {
    const bad = await send(
      'PATCH',
      `${configMaps}/istio`,
      { data: { meshNetworks: 'networks: {n1: {gateways: [{port: 0}]}}' } },
      'application/merge-patch+json',
    );
    expect(bad.status).toBe(422);
    expect(bad.body.message).toContain('data.meshNetworks: networks.n1.gateways[0].port');
  });
});
