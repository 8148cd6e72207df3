/** Every write returns the warnings of Istio's webhook; an invalid mesh configuration is not written. */
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
  it('are sent with create, replace and patch, one each, as kubectl reads them', async () => {
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

  it('name the stored workloads that share an address with what is written', async () => {
    const networking = '/apis/networking.istio.io/v1/namespaces/default';
    const made = (kind: string, name: string, spec: object) => ({
      apiVersion: 'networking.istio.io/v1',
      kind,
      metadata: { name },
      spec,
    });
    const entry = (name: string, address: string, serviceAccount = 'a') =>
      made('WorkloadEntry', name, { address, serviceAccount, labels: { app: name } });
    const at = `${networking}/workloadentries`;
    expect((await send('POST', at, entry('one', '10.77.0.31'))).warning).toBeNull();
    const shared =
      '10.77.0.31 is also an address of WorkloadEntry default/one: policies of each hold at its own ports, of all at ports that several or none serve';
    const second = await send('POST', at, entry('two', '10.77.0.31'));
    expect(second.warning).toBe(`299 - "spec.address: ${shared}"`);
    expect((await send('POST', at, entry('three', '10.77.0.32'))).warning).toBeNull();
    const moved = { spec: { address: '10.77.0.31', serviceAccount: 'b' } };
    const patched = await send('PATCH', `${at}/three`, moved, 'application/merge-patch+json');
    expect(patched.warning).toContain('WorkloadEntry default/one, WorkloadEntry default/two: ');
    expect(patched.warning).toContain('their service accounts differ');
    expect((await send('PUT', `${at}/one`, entry('one', '10.77.0.99'))).warning).toBeNull();
    const inline = (location: string) =>
      made('ServiceEntry', location.toLowerCase().replace('_', '-'), {
        hosts: ['x.example'],
        location,
        resolution: 'STATIC',
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        endpoints: [{ address: '10.0.0.1' }, { address: '10.77.0.99', serviceAccount: 'a' }],
      });
    expect((await send('POST', `${networking}/serviceentries`, inline('MESH_EXTERNAL'))).warning).toBeNull();
    expect((await send('POST', `${networking}/serviceentries`, inline('MESH_INTERNAL'))).warning).toContain(
      'spec.endpoints[1].address: 10.77.0.99 is also an address of WorkloadEntry default/one: ',
    );
    const loopback = [entry('four', '127.0.0.1'), entry('five', '127.0.0.1')];
    for (const one of loopback) expect((await send('POST', at, one)).warning).toBeNull();
  });

  it('of another namespace name the namespace boundary of proxies', async () => {
    const body = { apiVersion: 'networking.istio.io/v1', kind: 'WorkloadEntry', metadata: { name: 'x' } };
    const at = (namespace: string) => `/apis/networking.istio.io/v1/namespaces/${namespace}/workloadentries`;
    await send('POST', at('default'), { ...body, spec: { address: 'fd00::1' } });
    const { warning } = await send('POST', at('istio-system'), { ...body, spec: { address: 'fd00::1' } });
    expect(warning).toContain('a proxy of istio-system neither serves nor guards workloads of other namespaces');
  });

  it('are absent for a resource without findings', async () => {
    expect(await send('POST', collection, service('plain', [route()]))).toMatchObject({ status: 201, warning: null });
  });

  it('are sent with a dry run, with quotes escaped', async () => {
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

  it('with a bad mesh configuration is refused, every violation with its path', async () => {
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

  it('with an unknown field is accepted, with a warning', async () => {
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
