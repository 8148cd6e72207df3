/** Warnings of a write that depend on resources in the store. */
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import { hasPlaces, sharedAddressWarnings } from '../mesh/shared-addresses.ts';
import type { ResourceStore } from '../store/store.ts';

/** Reads the store, because the mesh view lags behind the latest writes. Costs a list of both kinds. */
export async function neighbourWarnings(store: ResourceStore, resource: Resource): Promise<Violation[]> {
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
