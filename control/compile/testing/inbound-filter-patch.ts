/**
 * Proves the patch stage: an HTTP filter in front of the others in every inbound chain of chosen workloads. Reads the form
 * of Istio's EnvoyFilter (applyTo HTTP_FILTER, SIDECAR_INBOUND, INSERT_FIRST) and nothing else of it.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { XdsResource } from '../../../shared/xds/discovery.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import { fields, labelsOf, namespaceOf, objects, specOf } from '../../mesh/fields.ts';
import { generator, sharedList } from '../memo.ts';
import type { PatchSource } from '../node/patch-sources.ts';
import { NO_PATCHES, type Patch } from '../patches/patch.ts';
import { selectsProxy } from '../scope/workloads.ts';

export const inboundFilters: PatchSource = (view, proxy) => {
  const chosen = view
    .resources('EnvoyFilter')
    .filter((item) => namespaceOf(item) === proxy.namespace && selectsProxy(selectorOf(item), proxy));
  return chosen.length === 0 ? NO_PATCHES : sharedList(chosen.map((resource) => patchOf({ resource })));
};

const selectorOf = (resource: Resource) => labelsOf(fields(specOf(resource)['workloadSelector'])['labels']);

const patchOf = generator<{ resource: Resource }, Patch>({ resource: true }, ({ resource }) => {
  const added = objects(specOf(resource)['configPatches']).map(({ patch }) => fields(patch)['value'] as HttpFilter);
  return {
    owner: resource,
    side: 'inbound',
    change: { listeners: (listener) => withFilters(listener, added) },
  };
});

type Listener = XdsResource['listeners'];

function withFilters(listener: Listener, added: readonly HttpFilter[]): Listener {
  const chain = <T extends { filters?: NetworkFilter[] | undefined }>(one: T): T => ({
    ...one,
    filters: one.filters?.map((filter) => inManager(filter, added)),
  });
  const { filterChains, defaultFilterChain } = listener;
  return {
    ...listener,
    ...(filterChains && { filterChains: filterChains.map(chain) }),
    ...(defaultFilterChain && { defaultFilterChain: chain(defaultFilterChain) }),
  };
}

function inManager(filter: NetworkFilter, added: readonly HttpFilter[]): NetworkFilter {
  const { typedConfig } = filter;
  if (!typedConfig || !('httpFilters' in typedConfig)) return filter;
  return { ...filter, typedConfig: { ...typedConfig, httpFilters: [...added, ...(typedConfig.httpFilters ?? [])] } };
}
