/** Patches for property tests: what the random EnvoyFilters of `mesh/testing` ask for. Not Istio's EnvoyFilter. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { RESOURCE_TYPES, type ResourceType } from '../../../shared/xds/discovery.ts';
import { fields, labelsOf, namespaceOf, specOf } from '../../mesh/fields.ts';
import { generator, sharedList } from '../memo.ts';
import type { PatchSource } from '../node/patch-sources.ts';
import type { Origin } from '../output/produced.ts';
import { NO_PATCHES, type Patch } from '../patches/patch.ts';
import { selectsProxy } from '../scope/workloads.ts';

export const randomPatches: PatchSource = (view, proxy) => {
  const chosen = view
    .resources('EnvoyFilter')
    .filter((item) => namespaceOf(item) === proxy.namespace && selectsProxy(selectorOf(item), proxy));
  return chosen.length === 0 ? NO_PATCHES : sharedList(chosen.map((resource) => patchOf({ resource })));
};

const selectorOf = (resource: Resource) => labelsOf(fields(specOf(resource)['workloadSelector'])['labels']);

/** What is done depends on the content of the resource: the number of its endpoints, chains or virtual hosts. */
const patchOf = generator<{ resource: Resource }, Patch>({ resource: true }, ({ resource }) => {
  const { operation, side, most } = specOf(resource) as {
    operation: string;
    side: Origin['side'];
    most: number;
  };
  const changeOf = (type: ResourceType) => (item: object) => {
    if (sizeOf(item) <= most) return item;
    if (operation === 'REMOVE') return undefined;
    if (operation === 'RENAME') return { ...item, name: 'other' };
    if (operation === 'BREAK') return { ...item, filterChains: 1, connectTimeout: 1 };
    return type === 'clusters' ? { ...item, connectTimeout: `${most + 1}s` } : item;
  };
  const change = Object.fromEntries(RESOURCE_TYPES.map((type) => [type, changeOf(type)])) as Patch['change'];
  return { owner: resource, side, change };
});

/** How many there are of what the resource is a list of. */
function sizeOf(item: object): number {
  const { endpoints, filterChains, virtualHosts } = item as Record<string, readonly object[] | undefined>;
  const groups = (endpoints ?? []) as { lbEndpoints?: object[] }[];
  return (
    groups.reduce((sum, { lbEndpoints = [] }) => sum + lbEndpoints.length, 0) +
    (filterChains ?? virtualHosts ?? []).length
  );
}
