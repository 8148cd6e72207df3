import type { ResourceStore } from './store.ts';

/** The store with some methods of its own in the place of the given one's. */
export function overriding(store: ResourceStore, methods: Partial<ResourceStore>): ResourceStore {
  return {
    get: (key) => store.get(key),
    list: (selection) => store.list(selection),
    create: (key, resource, author) => store.create(key, resource, author),
    update: (key, resource, author) => store.update(key, resource, author),
    updateStatus: (key, status, write) => store.updateStatus(key, status, write),
    delete: (key, precondition, author) => store.delete(key, precondition, author),
    history: (key) => store.history(key),
    watch: (selection, fromRevision, signal) => store.watch(selection, fromRevision, signal),
    revision: () => store.revision(),
    dump: () => store.dump(),
    close: () => store.close(),
    ...methods,
  };
}
