/** Writes of a dry run: answered as if they were stored (https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run). */
import type { Resource } from '../../../../shared/resources/resource.ts';
import { overriding } from '../../../store/overriding.ts';
import { type ResourceStore, StoreError } from '../../../store/store.ts';
import { checkPrecondition } from '../precondition.ts';

/**
 * The store, whose `create` and `update` check and answer but store nothing. A store that refuses writes can be put before it, so
 * that a dry run is refused as the write would be. Deletions and status are not pretended here.
 */
export function pretending(store: ResourceStore): ResourceStore {
  return overriding(store, {
    async create(key, resource) {
      if (await store.get(key)) throw new StoreError('already-exists', 'exists');
      const creationTimestamp = `${new Date().toISOString().slice(0, 19)}Z`;
      const made = { uid: crypto.randomUUID(), creationTimestamp, generation: 1 };
      return { ...resource, metadata: { ...resource.metadata, ...made } };
    },
    async update(key, resource) {
      const stored = await store.get(key);
      if (!stored) throw new StoreError('not-found', 'does not exist');
      checkPrecondition(stored, resource.metadata);
      return keepManaged(resource, stored);
    },
  });
}

/** The resource with the fields that the store manages. */
export function keepManaged(resource: Resource, stored: Resource): Resource {
  const { uid, creationTimestamp, generation, resourceVersion } = stored.metadata;
  const kept = { uid, creationTimestamp, generation, resourceVersion } as Partial<Resource['metadata']>;
  return { ...resource, metadata: { ...resource.metadata, ...kept } };
}
