/** What the store itself writes into metadata: uid, creationTimestamp, generation, resourceVersion. Pure functions. */
import type { ObjectMeta, Resource } from '../../shared/resources/resource.ts';
import { type Precondition, type ResourceKey, type StatusWrite, StoreError } from './store.ts';

export interface Stamp {
  revision: number;
  now: Date;
  uid: string;
}

/** `virtualservices.networking.istio.io "shop/reviews"`, for messages. */
export function describeKey(key: ResourceKey): string {
  const kind = key.group === '' ? key.plural : `${key.plural}.${key.group}`;
  return `${kind} "${key.namespace === '' ? key.name : `${key.namespace}/${key.name}`}"`;
}

/** The resource as first stored. Overwrites the caller's values of the store's fields. */
export function stampCreated(key: ResourceKey, resource: Resource, stamp: Stamp): Resource {
  const metadata: ObjectMeta = {
    ...place(key, resource.metadata),
    uid: stamp.uid,
    resourceVersion: String(stamp.revision),
    generation: 1,
    creationTimestamp: timestamp(stamp.now),
  };
  return { ...resource, metadata };
}

/**
 * The resource as stored by an update of `stored`, whose status it keeps; undefined when nothing would change, so that an
 * identical write makes no revision and no watch event (as in the Kubernetes API server).
 * @throws StoreError conflict
 */
export function stampUpdated(
  key: ResourceKey,
  stored: Resource,
  resource: Resource,
  revision: number,
): Resource | undefined {
  const { resourceVersion, uid } = resource.metadata;
  checkPrecondition(key, stored, { resourceVersion, uid });
  const kept = stored.metadata;
  const metadata: ObjectMeta = {
    ...place(key, resource.metadata),
    uid: kept.uid,
    resourceVersion: kept.resourceVersion,
    generation: kept.generation ?? 1,
    creationTimestamp: kept.creationTimestamp,
  };
  keepDeletion(metadata, kept);
  const next = withStatus({ ...resource, metadata }, stored.status);
  if (sameJson(next, stored)) return undefined;
  metadata.resourceVersion = String(revision);
  const deleted = metadata.deletionTimestamp !== undefined && kept.deletionTimestamp === undefined;
  if (deleted || !sameJson(desired(next), desired(stored))) metadata.generation = (kept.generation ?? 1) + 1;
  return next;
}

/** A deletion that has begun is not taken back, also not by a write that was read before it. */
function keepDeletion(metadata: ObjectMeta, kept: ObjectMeta): void {
  if (kept.deletionTimestamp === undefined) return;
  metadata.deletionTimestamp = kept.deletionTimestamp;
  if (kept.deletionGracePeriodSeconds !== undefined)
    metadata.deletionGracePeriodSeconds = kept.deletionGracePeriodSeconds;
}

/** `stored` with another status; undefined when it is the same. @throws StoreError conflict */
export function stampStatus(
  key: ResourceKey,
  stored: Resource,
  status: unknown,
  { revision, write }: { revision: number; write: StatusWrite | undefined },
): Resource | undefined {
  checkPrecondition(key, stored, write);
  if (sameJson(stored.status, status)) return undefined;
  const next = withStatus({ ...stored, metadata: { ...stored.metadata, resourceVersion: String(revision) } }, status);
  return write?.owners ? withOwners(next, write.owners(stored, next)) : next;
}

function withOwners(resource: Resource, managedFields: unknown[] | undefined): Resource {
  const { managedFields: _, ...metadata } = resource.metadata;
  return { ...resource, metadata: managedFields === undefined ? metadata : { ...metadata, managedFields } };
}

function withStatus(resource: Resource, status: unknown): Resource {
  const { status: _, ...rest } = resource;
  return status === undefined ? rest : { ...rest, status };
}

/** A DELETED event carries the last state at the revision of the deletion. */
export function stampDeleted(stored: Resource, revision: number): Resource {
  return { ...stored, metadata: { ...stored.metadata, resourceVersion: String(revision) } };
}

/** @throws StoreError conflict */
export function checkPrecondition(key: ResourceKey, stored: Resource, precondition: Precondition | undefined): void {
  const { resourceVersion, uid } = precondition ?? {};
  if (resourceVersion && resourceVersion !== stored.metadata.resourceVersion)
    throw new StoreError(
      'conflict',
      `${describeKey(key)} has changed: it is at resourceVersion ${stored.metadata.resourceVersion}, not ${resourceVersion}`,
    );
  if (uid && uid !== stored.metadata.uid)
    throw new StoreError('conflict', `${describeKey(key)} has uid ${stored.metadata.uid}, not ${uid}`);
}

/** Equal as JSON values: order of keys does not matter, a key that is undefined counts as absent. */
export function sameJson(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || !left || !right) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((value, at) => sameJson(value, right[at]));
  }
  const defined = (value: object) => Object.entries(value).filter(([, item]) => item !== undefined);
  const entries = defined(left);
  if (entries.length !== defined(right).length) return false;
  return entries.every(
    ([name, value]) => Object.hasOwn(right, name) && sameJson(value, (right as Record<string, unknown>)[name]),
  );
}

/** Name and namespace are the key's. */
function place(key: ResourceKey, metadata: ObjectMeta): ObjectMeta {
  const { namespace: _, ...rest } = metadata;
  return key.namespace === '' ? { ...rest, name: key.name } : { ...rest, name: key.name, namespace: key.namespace };
}

/** The user's part: everything but identity, metadata and status. A change of this makes a new generation. */
function desired(resource: Resource): unknown {
  const { apiVersion: _apiVersion, metadata: _metadata, status: _status, ...rest } = resource;
  return rest;
}

/** RFC 3339 with seconds, as Kubernetes writes it. */
function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
