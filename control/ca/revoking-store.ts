/** A store in which deleting a ServiceAccount takes its identity back, before the deletion can be seen. */
import { overriding } from '../store/overriding.ts';
import type { ResourceStore } from '../store/store.ts';
import type { Accounts } from './accounts.ts';

export function revokingStore(store: ResourceStore, accounts: Pick<Accounts, 'whileDeleting'>): ResourceStore {
  return overriding(store, {
    delete(key, precondition, author) {
      const deletion = () => store.delete(key, precondition, author);
      if (key.group !== '' || key.plural !== 'serviceaccounts') return deletion();
      return accounts.whileDeleting({ namespace: key.namespace, serviceAccount: key.name }, deletion);
    },
  });
}
