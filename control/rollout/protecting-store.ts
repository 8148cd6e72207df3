/** Writes of users: what a change that is rolled out would replace is kept before it is replaced. */
import type { Resource } from '../../shared/resources/resource.ts';
import { overriding } from '../store/overriding.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import type { Rollouts } from './rollouts.ts';

/** The store, of which each write to a resource that a policy governs has its revision before kept durably. */
export function protectingStore(store: ResourceStore, rollouts: Pick<Rollouts, 'governs' | 'protect'>): ResourceStore {
  const guarded = async <T>(key: ResourceKey, next: Resource | undefined, write: () => Promise<T>): Promise<T> => {
    if (!rollouts.governs(key)) return await write();
    const stored = await store.get(key);
    const takeBack = await rollouts.protect(stored, next && placed(key, next));
    try {
      return await write();
    } catch (error) {
      takeBack();
      throw error;
    }
  };
  return overriding(store, {
    create: (key, resource, author) => guarded(key, resource, () => store.create(key, resource, author)),
    update: (key, resource, author) => guarded(key, resource, () => store.update(key, resource, author)),
    delete: (key, precondition, author) => guarded(key, undefined, () => store.delete(key, precondition, author)),
  });
}

/** Where the store puts it: a body may leave out its place. */
function placed({ namespace, name }: ResourceKey, resource: Resource): Resource {
  const metadata = { ...resource.metadata, name, ...(namespace !== '' && { namespace }) };
  return { ...resource, metadata };
}
