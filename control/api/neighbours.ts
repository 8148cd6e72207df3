/** What a write is warned of because of resources that are stored already. */
import type { Fault, Resource } from '../../shared/resources/resource.ts';
import { hasPlaces, sharedAddressWarnings } from '../mesh/shared-addresses.ts';
import type { ResourceStore } from '../store/store.ts';

/** Reads the store, not the view of the mesh: the view is behind by some writes, and these are the ones to warn of. */
export async function neighbourWarnings(store: ResourceStore, resource: Resource): Promise<Fault[]> {
  if (!hasPlaces(resource)) return [];
  const group = 'networking.istio.io';
  const lists = await Promise.all(
    ['workloadentries', 'serviceentries'].map((plural) => store.list({ kind: { group, plural } })),
  );
  return sharedAddressWarnings(
    resource,
    lists.flatMap(({ items }) => items),
  );
}
