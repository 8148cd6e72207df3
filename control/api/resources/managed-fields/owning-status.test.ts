/** Owners of the fields of a status. */
import { beforeEach, describe, expect, it } from 'vitest';
import { kindOf, kinds, validate } from '../../../../shared/resources/index.ts';
import { memoryStore } from '../../../store/memory.ts';
import type { ResourceStore } from '../../../store/store.ts';
import { createApi, createInitialNamespaces } from '../../app.ts';
import { owningStatus } from './owning-status.ts';

const collection = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';
const key = { group: 'networking.istio.io', plural: 'virtualservices', namespace: 'default', name: 'a' };
const route = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'a' },
  spec: { hosts: ['a'], http: [{ route: [{ destination: { host: 'a' } }] }] },
};
const CONDITIONS = { 'f:status': { 'f:conditions': {} } };

let store: ResourceStore;
let app: ReturnType<typeof createApi>;
beforeEach(async () => {
  store = owningStatus(memoryStore(), kindOf);
  await createInitialNamespaces(store);
  app = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
});

async function call(method: string, path: string, body: object, type = 'application/json') {
  const headers = { authorization: 'Bearer admin', 'content-type': type };
  const response = await app.request(path, { method, headers, body: JSON.stringify(body) });
  // biome-ignore lint/suspicious/noExplicitAny: what an API answers is judged field by field
  return { status: response.status, body: (await response.json()) as any };
}
interface Entry {
  manager: string;
  subresource?: string;
  fieldsV1: Record<string, unknown>;
}
const entriesOf = async () => ((await store.get(key))?.metadata.managedFields ?? []) as Entry[];
const statusOwners = async () =>
  Object.fromEntries(
    (await entriesOf())
      .filter(({ subresource }) => subresource === 'status')
      .map((each) => [each.manager, each.fieldsV1]),
  );

describe('owners of a status', () => {
  it('are the control plane for what it writes, and keep what they own through writes of the resource', async () => {
    await call('POST', `${collection}?fieldManager=kubectl`, route);
    await store.updateStatus(key, { conditions: [{ type: 'Reconciled', status: 'False' }] });
    expect(await statusOwners()).toEqual({ tulle: { 'f:status': { '.': {}, 'f:conditions': {} } } });
    expect(await entriesOf()).toContainEqual(
      expect.objectContaining({
        manager: 'tulle',
        operation: 'Update',
        subresource: 'status',
        apiVersion: 'networking.istio.io/v1',
      }),
    );
    const merge = 'application/merge-patch+json';
    await call('PATCH', `${collection}/a?fieldManager=kubectl`, { spec: { hosts: ['a', 'b'] } }, merge);
    const applied = { ...route, spec: { ...route.spec, hosts: ['c'] } };
    await call('PATCH', `${collection}/a?fieldManager=x&force=true`, applied, 'application/apply-patch+yaml');
    expect(await statusOwners()).toEqual({ tulle: { 'f:status': { '.': {}, 'f:conditions': {} } } });
    await store.updateStatus(key, undefined);
    expect(await statusOwners()).toEqual({});
    expect((await entriesOf()).map(({ manager }) => manager)).toContain('x');
  });

  it('are others for what they write in the place of the control plane', async () => {
    await call('POST', collection, route);
    await store.updateStatus(key, { conditions: [], addresses: [{ value: '240.240.0.1' }] });
    const conditions = [{ type: 'Ready', status: 'True' }];
    await call(
      'PATCH',
      `${collection}/a/status?fieldManager=operator`,
      { status: { conditions } },
      'application/merge-patch+json',
    );
    expect(await statusOwners()).toEqual({
      operator: CONDITIONS,
      tulle: { 'f:status': { '.': {}, 'f:addresses': {} } },
    });
    const dry = await call(
      'PATCH',
      `${collection}/a/status?fieldManager=dry&dryRun=All`,
      { status: { conditions: [] } },
      'application/merge-patch+json',
    );
    expect(dry.body.metadata.managedFields).toContainEqual(
      expect.objectContaining({ manager: 'dry', fieldsV1: CONDITIONS }),
    );
    expect(await statusOwners()).not.toHaveProperty('dry');
  });

  it('are refused where a client gives what is no list of owners, and forgotten where it says so', async () => {
    await call('POST', collection, route);
    const { metadata } = (await call('PUT', `${collection}/a/status`, { ...route, status: { conditions: [] } })).body;
    expect(metadata.managedFields).toHaveLength(2);
    const wrong = { ...route, metadata: { name: 'a', managedFields: [{ manager: 'x' }] }, status: { x: 1 } };
    expect(await call('PUT', `${collection}/a/status`, wrong)).toMatchObject({ status: 422 });
    const none = { ...route, metadata: { name: 'a', managedFields: [{}] }, status: { x: 1 } };
    expect((await call('PUT', `${collection}/a/status`, none)).body.metadata).not.toHaveProperty('managedFields');
    await store.updateStatus(key, { conditions: [] });
    expect(await entriesOf()).toEqual([]);
  });
});
