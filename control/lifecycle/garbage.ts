/**
 * The garbage collector's decisions about one resource, as Kubernetes makes them
 * (https://kubernetes.io/docs/concepts/architecture/garbage-collection/). Every write requires the revision that was read, so
 * that a decision about an older state writes nothing.
 */
import type { Kind } from '../../shared/resources/kind.ts';
import type { ObjectMeta, Resource } from '../../shared/resources/resource.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import {
  FOREGROUND,
  isDeleting,
  isFree,
  markDeleted,
  ORPHAN,
  type Propagation,
  withMetadata,
  withoutFinalizer,
} from './deletion.ts';
import { idOf, type OwnerIndex } from './owner-index.ts';

export interface GarbageDependencies {
  readonly store: Pick<ResourceStore, 'get' | 'update' | 'delete'>;
  readonly index: Pick<OwnerIndex, 'dependentsOf'>;
  /** undefined: of no kind that is served. Such owners are not looked for and count as present. */
  readonly kindOf: (apiVersion: string, kind: string) => Kind | undefined;
  readonly now: () => Date;
}

type OwnerReference = NonNullable<ObjectMeta['ownerReferences']>[number];

/**
 * Takes one step with a resource that is being deleted, or that has owners.
 * @returns further resources to look at
 * @throws StoreError conflict when it has changed meanwhile
 */
export async function settle(
  dependencies: GarbageDependencies,
  key: ResourceKey,
  stored: Resource,
): Promise<readonly ResourceKey[]> {
  if (!isDeleting(stored)) return settleOwned(dependencies, key, stored);
  const finalizers = stored.metadata.finalizers ?? [];
  if (finalizers.includes(ORPHAN)) return orphanDependents(dependencies, key, stored);
  if (finalizers.includes(FOREGROUND)) return awaitDependents(dependencies, key, stored);
  if (isFree(stored)) await write(dependencies, key, stored);
  return [];
}

/** Deletes a resource without any owner left, and takes off references to owners that are gone. */
async function settleOwned(
  dependencies: GarbageDependencies,
  key: ResourceKey,
  stored: Resource,
): Promise<readonly ResourceKey[]> {
  const references = stored.metadata.ownerReferences ?? [];
  if (references.length === 0) return [];
  const states = await Promise.all(references.map((reference) => stateOf(dependencies, key, reference)));
  const present = references.filter((_, at) => states[at] === 'present');
  if (present.length === references.length) return [];
  if (present.length > 0) {
    await write(dependencies, key, withMetadata(stored, { ownerReferences: present }));
    return [];
  }
  const dependents = dependencies.index.dependentsOf(stored.metadata.uid ?? '');
  const foreground = states.includes('waiting') && dependents.length > 0;
  if (foreground && (await inCycle(dependencies, dependents))) {
    const ownerReferences = references.map((reference) => ({ ...reference, blockOwnerDeletion: false }));
    await write(dependencies, key, withMetadata(stored, { ownerReferences }));
  }
  await remove(dependencies, key, stored, foreground ? 'Foreground' : undefined);
  return [];
}

/** `waiting`: the owner is deleted when its dependents are. */
async function stateOf(
  { store, kindOf }: GarbageDependencies,
  { namespace }: ResourceKey,
  { apiVersion, kind: name, name: owner, uid }: OwnerReference,
): Promise<'present' | 'absent' | 'waiting'> {
  const kind = kindOf(apiVersion, name);
  // A resource of the whole cluster cannot be owned by one of a namespace: such a reference is never resolved.
  if (!kind || (kind.namespaced && namespace === '')) return 'present';
  const { group, plural, namespaced } = kind;
  const found = await store.get({ group, plural, namespace: namespaced ? namespace : '', name: owner });
  if (found?.metadata.uid !== uid) return 'absent';
  return isDeleting(found) && found.metadata.finalizers?.includes(FOREGROUND) ? 'waiting' : 'present';
}

/** A dependent waits for its own dependents already: two resources that own each other would both wait without end. */
async function inCycle({ store }: GarbageDependencies, dependents: readonly ResourceKey[]): Promise<boolean> {
  for (const key of dependents) {
    const found = await store.get(key);
    if (found && isDeleting(found) && found.metadata.finalizers?.includes(FOREGROUND)) return true;
  }
  return false;
}

/** Takes the references to the owner off its dependents, then the finalizer off the owner. */
async function orphanDependents(
  dependencies: GarbageDependencies,
  key: ResourceKey,
  owner: Resource,
): Promise<readonly ResourceKey[]> {
  for (const dependent of dependentsIn(dependencies, key, owner)) {
    const stored = await dependencies.store.get(dependent);
    const before = stored?.metadata.ownerReferences ?? [];
    const ownerReferences = before.filter(({ uid }) => uid !== owner.metadata.uid);
    if (stored && ownerReferences.length < before.length)
      await write(dependencies, dependent, withMetadata(stored, { ownerReferences }));
  }
  await write(dependencies, key, withoutFinalizer(owner, ORPHAN));
  return [];
}

/**
 * The owner goes when no dependent blocks it; until then each of them is looked at, but those that wait for their own dependents:
 * the end of these is seen in the store's watch. In a circle of resources that wait for each other none blocks.
 */
async function awaitDependents(
  dependencies: GarbageDependencies,
  key: ResourceKey,
  owner: Resource,
): Promise<readonly ResourceKey[]> {
  const further: ResourceKey[] = [];
  let blocked = false;
  for (const dependent of dependentsIn(dependencies, key, owner)) {
    const stored = await dependencies.store.get(dependent);
    if (!stored) continue;
    const waits = isForeground(stored);
    if (!waits) further.push(dependent);
    if (!blocked && blocks(stored, owner)) blocked = !(waits && (await waitsFor(dependencies, dependent, key)));
  }
  if (!blocked) await write(dependencies, key, withoutFinalizer(owner, FOREGROUND));
  return further;
}

/** Those that the owner can have: a resource of a namespace owns none elsewhere, whatever their references say. */
function dependentsIn(
  { index }: Pick<GarbageDependencies, 'index'>,
  { namespace }: ResourceKey,
  { metadata }: Resource,
): ResourceKey[] {
  const all = index.dependentsOf(metadata.uid ?? '');
  return namespace === '' ? all : all.filter((dependent) => dependent.namespace === namespace);
}

const isForeground = (resource: Resource): boolean =>
  isDeleting(resource) && (resource.metadata.finalizers ?? []).includes(FOREGROUND);

const blocks = ({ metadata }: Resource, owner: Resource): boolean =>
  (metadata.ownerReferences ?? []).some((each) => each.uid === owner.metadata.uid && each.blockOwnerDeletion);

/** Whether the first, which is deleted in the foreground, waits for the end of the other, directly or by others. */
async function waitsFor(dependencies: GarbageDependencies, first: ResourceKey, other: ResourceKey): Promise<boolean> {
  const seen = new Set<string>();
  const pending = [first];
  for (let key = pending.pop(); key; key = pending.pop()) {
    if (idOf(key) === idOf(other)) return true;
    if (seen.has(idOf(key))) continue;
    seen.add(idOf(key));
    const waiting = await dependencies.store.get(key);
    if (!waiting || !isForeground(waiting)) continue;
    for (const next of dependentsIn(dependencies, key, waiting)) {
      const dependent = await dependencies.store.get(next);
      if (dependent && blocks(dependent, waiting)) pending.push(next);
    }
  }
  return false;
}

/** Deletes a resource, or begins its deletion where finalizers hold it. */
export async function remove(
  dependencies: Pick<GarbageDependencies, 'store' | 'now'>,
  key: ResourceKey,
  stored: Resource,
  propagation?: Propagation,
): Promise<void> {
  const marked = markDeleted(stored, propagation, dependencies.now());
  if (marked !== stored || isFree(marked)) await write(dependencies, key, marked);
}

/** Stores the resource, or removes it where it is being deleted and nothing holds it. @throws StoreError conflict */
async function write({ store }: Pick<GarbageDependencies, 'store'>, key: ResourceKey, next: Resource): Promise<void> {
  const { uid, resourceVersion } = next.metadata;
  if (isDeleting(next) && isFree(next)) await store.delete(key, { uid, resourceVersion });
  else await store.update(key, next);
}
