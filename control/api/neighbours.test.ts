import { describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { Neighbours } from './neighbours.ts';

const entry = (name: string, address: string, namespace = 'shop', serviceAccount = ''): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name, namespace },
  spec: { address, serviceAccount },
});
const serviceEntry = (name: string, ...addresses: string[]): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'shop' },
  spec: { hosts: [`${name}.example`], location: 'MESH_INTERNAL', endpoints: addresses.map((address) => ({ address })) },
});
const keyOf = ({ kind, metadata }: Resource) => ({
  group: 'networking.istio.io',
  plural: kind === 'WorkloadEntry' ? 'workloadentries' : 'serviceentries',
  namespace: metadata.namespace ?? '',
  name: metadata.name,
});
const create = (store: ResourceStore, resource: Resource) => store.create(keyOf(resource), resource);
const named = async (neighbours: Neighbours, resource: Resource) =>
  (await neighbours.warnings(resource)).map(({ path, message }) => `${path}: ${message.split(':')[0]}`);

describe('Neighbours', () => {
  it('warn of every write answered before, and of no other', async () => {
    const store = memoryStore();
    await create(store, entry('stored', '10.0.0.1'));
    const neighbours = new Neighbours(store);
    expect(await named(neighbours, entry('new', '10.0.0.1'))).toEqual([
      'spec.address: 10.0.0.1 is also an address of WorkloadEntry shop/stored',
    ]);
    // Each is asked right after the write before it was answered.
    for (const n of [2, 3, 4, 5]) {
      await create(store, entry(`quick${n}`, `10.0.0.${n}`));
      expect(await named(neighbours, entry('new', `10.0.0.${n}`))).toHaveLength(1);
    }
    await store.update(keyOf(entry('quick2', '')), entry('quick2', '10.0.0.9'));
    expect(await named(neighbours, entry('new', '10.0.0.2'))).toEqual([]);
    expect(await named(neighbours, entry('new', '10.0.0.9'))).toHaveLength(1);
    await store.delete(keyOf(entry('quick3', '')));
    expect(await named(neighbours, entry('new', '10.0.0.3'))).toEqual([]);
    expect(await named(neighbours, entry('quick4', '10.0.0.4')), 'itself').toEqual([]);
    await store.close();
  });

  it('name WorkloadEntries first, then by name, three at most, and count every endpoint of a ServiceEntry', async () => {
    const store = memoryStore();
    await create(store, serviceEntry('web', '10.0.0.1', '10.0.0.2', '10.0.0.1'));
    for (const name of ['c', 'b', 'a']) await create(store, entry(name, '10.0.0.1'));
    const neighbours = new Neighbours(store);
    expect(await named(neighbours, serviceEntry('other', '10.0.0.2', '10.0.0.1', '10.0.0.3'))).toEqual([
      'spec.endpoints[0].address: 10.0.0.2 is also an address of ServiceEntry shop/web',
      'spec.endpoints[1].address: 10.0.0.1 is also an address of WorkloadEntry shop/a, WorkloadEntry shop/b, WorkloadEntry shop/c and 1 more',
    ]);
    await store.delete(keyOf(serviceEntry('web')));
    expect(await named(neighbours, entry('other', '10.0.0.2'))).toEqual([]);
    await store.close();
  });

  it('list the store once, and again after its history is gone', async () => {
    const inner = memoryStore();
    let lists = 0;
    const cut = new AbortController();
    const store = Object.assign(Object.create(inner) as ResourceStore, {
      list: (...args: Parameters<ResourceStore['list']>) => {
        lists++;
        return inner.list(...args);
      },
      revision: () => inner.revision(),
      watch: (selection: object, from: number, signal: AbortSignal) =>
        inner.watch(selection, from, lists === 1 ? cut.signal : signal),
    });
    const neighbours = new Neighbours(store);
    await create(inner, entry('a', '10.0.0.1'));
    for (let i = 0; i < 3; i++) expect(await named(neighbours, entry('b', '10.0.0.1'))).toHaveLength(1);
    expect(lists).toBe(1);
    cut.abort();
    await create(inner, entry('c', '10.0.0.2'));
    expect(await named(neighbours, entry('b', '10.0.0.2'))).toHaveLength(1);
    expect(lists).toBe(2);
    await inner.close();
  });
});
