import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { kindOf } from '../../shared/resources/index.ts';
import type { ObjectMeta, Resource } from '../../shared/resources/resource.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import { FOREGROUND, markDeleted, ORPHAN, type Propagation } from './deletion.ts';
import { ObjectLife } from './object-life.ts';

let store: ResourceStore;
let life: ObjectLife;
let errors: unknown[];

const start = async () => {
  life = new ObjectLife({ store, kindOf, keyOf, onError: (error) => errors.push(error), retryMs: 5 });
  await life.start();
};
beforeEach(async () => {
  store = memoryStore();
  errors = [];
  await start();
});
afterEach(async () => {
  await life.stop();
  expect(errors).toEqual([]);
});

function keyOf({ apiVersion, kind: name, metadata: { namespace = '', name: resource } }: Resource) {
  const kind = kindOf(apiVersion, name);
  return kind && { group: kind.group, plural: kind.plural, namespace, name: resource };
}
const configMap = (name: string, metadata: Partial<ObjectMeta> = {}, namespace = 'shop'): Resource => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace, ...metadata },
});
const ownedBy = (owner: Resource, more: object = {}) => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid!,
  ...more,
});
const create = (resource: Resource) => store.create(keyOf(resource)!, resource);
const key = (name: string, namespace = 'shop'): ResourceKey => ({ group: '', plural: 'configmaps', namespace, name });
async function remove(name: string, propagation?: Propagation): Promise<void> {
  const stored = (await store.get(key(name)))!;
  const marked = markDeleted(stored, propagation, new Date());
  if (marked.metadata.finalizers?.length) await store.update(key(name), marked);
  else await store.delete(key(name));
}
const names = async () => (await store.list({ namespace: 'shop' })).items.map(({ metadata }) => metadata.name);
const become = (expected: string[]) =>
  vi.waitFor(async () => expect(await names()).toEqual(expected), { timeout: 5000 });
/** Waits until what was written before has been looked at: a later dependent of nothing is gone. */
async function settled(): Promise<void> {
  const absent = { apiVersion: 'v1', kind: 'ConfigMap', name: 'never', uid: 'never' };
  const { metadata } = await create(configMap('probe', { ownerReferences: [absent] }, 'elsewhere'));
  await vi.waitFor(async () => expect(await store.get(key(metadata.name, 'elsewhere'))).toBeUndefined(), {
    timeout: 5000,
  });
}

describe('owners', () => {
  it('deletes dependents in the background, through every generation, but none that has another owner', async () => {
    const owner = await create(configMap('owner'));
    const other = await create(configMap('other'));
    const child = await create(configMap('child', { ownerReferences: [ownedBy(owner)] }));
    await create(configMap('grandchild', { ownerReferences: [ownedBy(child)] }));
    await create(configMap('shared', { ownerReferences: [ownedBy(owner), ownedBy(other)] }));
    await settled();
    expect(await names()).toEqual(['child', 'grandchild', 'other', 'owner', 'shared']);
    await remove('owner');
    await become(['other', 'shared']);
    await vi.waitFor(async () =>
      expect((await store.get(key('shared')))?.metadata.ownerReferences).toEqual([ownedBy(other)]),
    );
  });

  it('keeps the owner until blocking dependents are gone in the foreground', async () => {
    const owner = await create(configMap('owner'));
    const blocking = { ownerReferences: [ownedBy(owner, { blockOwnerDeletion: true })] };
    await create(configMap('held', { ...blocking, finalizers: ['example.com/hold'] }));
    await create(configMap('quick', blocking));
    await remove('owner', 'Foreground');
    await become(['held', 'owner']);
    await settled();
    expect((await store.get(key('owner')))?.metadata.finalizers).toEqual([FOREGROUND]);
    const held = (await store.get(key('held')))!;
    expect(held.metadata.deletionTimestamp).toBeDefined();
    await store.update(key('held'), { ...held, metadata: { ...held.metadata, finalizers: [] } });
    await become([]);
  });

  it('ends a deletion in the foreground of two that own each other', async () => {
    const one = await create(configMap('one'));
    const two = await create(configMap('two', { ownerReferences: [ownedBy(one, { blockOwnerDeletion: true })] }));
    const { metadata } = one;
    const ownerReferences = [ownedBy(two, { blockOwnerDeletion: true })];
    await store.update(key('one'), { ...one, metadata: { ...metadata, ownerReferences } });
    await remove('one', 'Foreground');
    await become([]);
  });

  it('ends a deletion in the foreground of one that owns itself', async () => {
    const one = await create(configMap('one'));
    const ownerReferences = [ownedBy(one, { blockOwnerDeletion: true })];
    await store.update(key('one'), { ...one, metadata: { ...one.metadata, ownerReferences } });
    await remove('one', 'Foreground');
    await become([]);
  });

  it('ends the deletions in the foreground of a circle whose resources are all deleted', async () => {
    await life.stop();
    const all = await Promise.all(['one', 'two', 'three'].map((name) => create(configMap(name))));
    for (const [at, each] of all.entries()) {
      const ownerReferences = [ownedBy(all[(at + 1) % 3]!, { blockOwnerDeletion: true })];
      await store.update(keyOf(each)!, { ...each, metadata: { ...each.metadata, ownerReferences } });
      await remove(each.metadata.name, 'Foreground');
    }
    await start();
    await become([]);
  });

  it('waits for no dependent of another namespace', async () => {
    const owner = await create(configMap('owner'));
    const reference = ownedBy(owner, { blockOwnerDeletion: true });
    const foreign = { ownerReferences: [reference], finalizers: ['example.com/hold'] };
    await create(configMap('foreign', foreign, 'elsewhere'));
    await remove('owner', 'Foreground');
    await become([]);
  });

  it('leaves orphans without the reference', async () => {
    const owner = await create(configMap('owner'));
    await create(configMap('child', { ownerReferences: [ownedBy(owner)] }));
    await remove('owner', 'Orphan');
    await become(['child']);
    await settled();
    expect((await store.get(key('child')))?.metadata.ownerReferences).toBeUndefined();
    expect((await store.get(key('child')))?.metadata.finalizers ?? []).not.toContain(ORPHAN);
  });

  it('deletes what names an owner of another uid or namespace, and keeps what names a kind that is not served', async () => {
    const owner = await create(configMap('owner'));
    const pod = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'p' };
    await create(configMap('of-pod', { ownerReferences: [pod] }));
    await create(configMap('replaced', { ownerReferences: [{ ...ownedBy(owner), uid: 'before' }] }));
    await create(configMap('abroad', { ownerReferences: [ownedBy(owner)] }, 'else'));
    await settled();
    expect(await names()).toEqual(['of-pod', 'owner']);
    expect(await store.get(key('abroad', 'else'))).toBeUndefined();
  });

  it('finishes after a restart what was deleted while it did not run', async () => {
    const owner = await create(configMap('owner'));
    const ownerReferences = [ownedBy(owner, { blockOwnerDeletion: true })];
    await create(configMap('child', { ownerReferences }));
    await life.stop();
    await remove('owner', 'Foreground');
    expect(await names()).toEqual(['child', 'owner']);
    await start();
    await become([]);
  });
});

describe('namespaces', () => {
  const namespace = { group: '', plural: 'namespaces', namespace: '', name: 'shop' };
  const terminate = async () =>
    store.update(namespace, markDeleted((await store.get(namespace))!, undefined, new Date()));

  beforeEach(async () => {
    await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  });

  it('go when they are empty, and say what holds them', async () => {
    await create(configMap('a'));
    await create(configMap('held', { finalizers: ['example.com/hold'] }));
    await terminate();
    await become(['held']);
    await vi.waitFor(async () =>
      expect((await store.get(namespace))?.status).toMatchObject({
        phase: 'Terminating',
        conditions: [
          {
            type: 'NamespaceContentRemaining',
            message: 'Some resources are remaining: configmaps has 1 resource instances',
          },
          { type: 'NamespaceFinalizersRemaining', message: expect.stringContaining('example.com/hold in 1') },
        ],
      }),
    );
    const held = (await store.get(key('held')))!;
    await store.update(key('held'), { ...held, metadata: { ...held.metadata, finalizers: [] } });
    await vi.waitFor(async () => expect(await store.get(namespace)).toBeUndefined(), { timeout: 5000 });
  });

  it('lose their policies last', async () => {
    const policy = {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'p', namespace: 'shop' },
    };
    await create(policy);
    await create(configMap('held', { finalizers: ['example.com/hold'] }));
    await terminate();
    await settled();
    expect(await names()).toEqual(['held', 'p']);
  });

  it('take with them what was written when they had gone', async () => {
    await terminate();
    await vi.waitFor(async () => expect(await store.get(namespace)).toBeUndefined(), { timeout: 5000 });
    await life.stop();
    await create(configMap('late', { finalizers: [] }));
    await start();
    await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    await terminate();
    await become([]);
  });
});
