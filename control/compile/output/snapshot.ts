/** Sets of shared resources as one plain snapshot. */
import {
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  rowOf,
  type Snapshot,
  type XdsResource,
} from '../../../shared/xds/discovery.ts';
import { compare } from '../../mesh/sorted-list.ts';
import { layerOf, ResourceSet } from './resource-set.ts';
import { shared } from './shared-resource.ts';

export type ResourceSets = { readonly [T in ResourceType]: ResourceSet };

/** The resources by type, sorted by name. They are frozen. */
export function snapshotOf(sets: ResourceSets): Snapshot {
  const of = <T extends ResourceType>(type: T) =>
    [...sets[type].values()]
      .map(({ resource }) => resource as XdsResource[T])
      .sort((a, b) => compare(resourceName(type, a), resourceName(type, b)));
  const types = RESOURCE_TYPES.filter((type) => rowOf(type).feature === undefined || sets[type].count > 0);
  return Object.fromEntries(types.map((type) => [type, of(type)])) as unknown as Snapshot;
}

/** Sets of one layer each. */
export function setsOf(snapshot: Snapshot): ResourceSets {
  const of = (type: ResourceType) =>
    new ResourceSet([layerOf((snapshot[type] ?? []).map((item) => shared(type, item)))]);
  return Object.fromEntries(RESOURCE_TYPES.map((type) => [type, of(type)])) as ResourceSets;
}
