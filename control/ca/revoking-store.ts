/** A store in which deleting a ServiceAccount takes its identity back, before the deletion can be seen. */
import type { ResourceStore } from '../store/store.ts';
import type { Accounts } from './accounts.ts';

export function revokingStore(store: ResourceStore, accounts: Pick<Accounts, 'whileDeleting'>): ResourceStore {
  return {
    get: (key) => store.get(key),
    list: (selection) => store.list(selection),
    create: (key, resource) => store.create(key, resource),
    update: (key, resource) => store.update(key, resource),
    updateStatus: (key, status, precondition) => store.updateStatus(key, status, precondition),
    delete(key, precondition) {
      const deletion = () => store.delete(key, precondition);
      if (key.group !== '' || key.plural !== 'serviceaccounts') return deletion();
      return accounts.whileDeleting({ namespace: key.namespace, serviceAccount: key.name }, deletion);
    },
    watch: (selection, fromRevision, signal) => store.watch(selection, fromRevision, signal),
    revision: () => store.revision(),
    close: () => store.close(),
  };
}
