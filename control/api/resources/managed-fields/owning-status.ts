/** The control plane's own writes of statuses: they own what they wrote. */
import type { Kind } from '../../../../shared/resources/kind.ts';
import { overriding } from '../../../store/overriding.ts';
import type { ResourceStore } from '../../../store/store.ts';
import { trackStatus } from './field-manager.ts';

/** The manager of what the control plane writes. */
const MANAGER = 'tulle';

/** The store, in which writes of a status that name no owners are those of the control plane. */
export function owningStatus(
  store: ResourceStore,
  kindOf: (apiVersion: string, kind: string) => Kind | undefined,
): ResourceStore {
  return overriding(store, {
    updateStatus: (key, status, write) =>
      store.updateStatus(key, status, {
        owners: (live, written) => {
          const { apiVersion, metadata } = live;
          const kind = kindOf(apiVersion, live.kind);
          if (!kind) return live.metadata.managedFields;
          const target = { kind, apiVersion, name: metadata.name };
          return trackStatus({ target, live, written, given: undefined, manager: MANAGER });
        },
        ...write,
      }),
  });
}
