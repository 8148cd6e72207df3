/** Deletes one resource, or begins its deletion where finalizers hold it. */
import type { Resource } from '../../../../shared/resources/resource.ts';
import { isDeleting, isFree, isNamespace, markDeleted } from '../../../lifecycle/deletion.ts';
import { type ResourceStore, StoreError } from '../../../store/store.ts';
import { withStoreErrors } from '../answer.ts';
import { keyOf, type Target } from '../kinds.ts';
import { checkDeletePrecondition } from '../precondition.ts';
import { ApiError, notFound } from '../status.ts';
import type { DeleteOptions } from './delete-options.ts';

export interface Deletion {
  /** false: finalizers hold it, or it is a namespace, which is emptied first. */
  removed: boolean;
  /** Its last state, or its state now. */
  resource: Resource;
}

/** How often a deletion is repeated that other writers overtake. */
const MAX_ATTEMPTS = 5;

/** @throws ApiError 404, 409 a precondition does not hold, 403 a protected namespace */
export async function deleteOne(
  { store, protectedNamespaces }: { store: ResourceStore; protectedNamespaces: readonly string[] },
  target: Target,
  { dryRun, precondition, propagation }: Omit<DeleteOptions, 'accepted'>,
): Promise<Deletion> {
  const key = keyOf(target);
  for (let attempt = 1; ; attempt++) {
    const stored = await store.get(key);
    if (!stored) throw notFound(target.kind, target.name);
    if (isNamespace(stored) && protectedNamespaces.includes(target.name))
      throw new ApiError(
        403,
        'Forbidden',
        `namespaces "${target.name}" is forbidden: this namespace may not be deleted`,
        { name: target.name, kind: target.kind.plural },
      );
    checkDeletePrecondition(target, stored, precondition);
    const marked = markDeleted(stored, propagation, new Date());
    const { uid, resourceVersion } = stored.metadata;
    try {
      if (isFree(marked)) {
        if (!dryRun) await store.delete(key, { uid, resourceVersion });
        return { removed: true, resource: stored };
      }
      const resource = dryRun || marked === stored ? marked : await store.update(key, marked);
      return { removed: false, resource: dryRun ? resource : await terminating(store, target, resource) };
    } catch (error) {
      const overtaken = error instanceof StoreError && error.code === 'conflict';
      if (!overtaken || attempt === MAX_ATTEMPTS) return withStoreErrors(target, () => Promise.reject(error));
    }
  }
}

/** The phase of a namespace says that it is being deleted. */
async function terminating(store: ResourceStore, target: Target, resource: Resource): Promise<Resource> {
  const status = resource.status as { phase?: unknown } | undefined;
  if (!isNamespace(resource) || !isDeleting(resource) || status?.phase === 'Terminating') return resource;
  return store.updateStatus(keyOf(target), { ...status, phase: 'Terminating' }, { uid: resource.metadata.uid });
}
