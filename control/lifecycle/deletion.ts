/**
 * How a deletion begins and ends, as Kubernetes has it: an object with finalizers gets a `deletionTimestamp` and goes when
 * the last finalizer does (https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/,
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion). Pure functions.
 */
import type { ObjectMeta, Resource } from '../../shared/resources/resource.ts';

/** What becomes of the objects that name the deleted one as owner. */
export type Propagation = 'Background' | 'Foreground' | 'Orphan';
export const PROPAGATIONS: readonly Propagation[] = ['Foreground', 'Background', 'Orphan'];

/** Finalizers that the garbage collector takes off: the first when the blocking dependents are gone, the other when none names the owner. */
export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

export const isDeleting = ({ metadata }: Pick<Resource, 'metadata'>): boolean =>
  metadata.deletionTimestamp !== undefined;

export const isNamespace = ({ apiVersion, kind }: Pick<Resource, 'apiVersion' | 'kind'>): boolean =>
  apiVersion === 'v1' && kind === 'Namespace';

/** Whether nothing holds the object: a deletion removes it at once. A namespace is held by what may be in it. */
export function isFree(resource: Resource): boolean {
  return (resource.metadata.finalizers ?? []).length === 0 && !isNamespace(resource);
}

/**
 * The object after a request to delete it, which may be the stored one itself.
 * @param propagation undefined: as its finalizers say, else in the background
 */
export function markDeleted(stored: Resource, propagation: Propagation | undefined, now: Date): Resource {
  const finalizers = finalizersAfter(stored.metadata.finalizers ?? [], propagation);
  if (isDeleting(stored) && sameTexts(finalizers, stored.metadata.finalizers ?? [])) return stored;
  const mark: Partial<ObjectMeta> = isDeleting(stored)
    ? {}
    : {
        deletionTimestamp: `${now.toISOString().slice(0, 19)}Z`,
        ...(isNamespace(stored) ? {} : { deletionGracePeriodSeconds: 0 }),
      };
  return withMetadata(stored, { ...mark, finalizers });
}

function finalizersAfter(before: readonly string[], propagation: Propagation | undefined): string[] {
  const others = before.filter((name) => name !== FOREGROUND && name !== ORPHAN);
  if (propagation === undefined) return [...before];
  if (propagation === 'Background') return others;
  return [...others, propagation === 'Orphan' ? ORPHAN : FOREGROUND];
}

/** The object without one of its finalizers. */
export function withoutFinalizer(resource: Resource, finalizer: string): Resource {
  const finalizers = (resource.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  return withMetadata(resource, { finalizers });
}

/** The object with other metadata; an empty list of finalizers or owners is left out. */
export function withMetadata(resource: Resource, changed: Partial<ObjectMeta>): Resource {
  const metadata: ObjectMeta = { ...resource.metadata, ...changed };
  if (metadata.finalizers?.length === 0) delete metadata.finalizers;
  if (metadata.ownerReferences?.length === 0) delete metadata.ownerReferences;
  return { ...resource, metadata };
}

/** Finalizers that an update adds to an object whose deletion has begun, which is forbidden. */
export function addedFinalizers(stored: Resource, next: Resource): string[] {
  if (!isDeleting(stored)) return [];
  const before = stored.metadata.finalizers ?? [];
  return (next.metadata.finalizers ?? []).filter((name) => !before.includes(name));
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, at) => text === right[at]);
}
