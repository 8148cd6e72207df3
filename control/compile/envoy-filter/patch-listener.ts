/** Patches of a listener and of what is in it: listener filters, filter chains, network filters, HTTP filters. */
import { type ConfigPatch, MESSAGES } from './config-patch.ts';
import { fieldsOf, httpFilterOf, listOf, matchesChain, matchesListener, networkFilterOf } from './match-resource.ts';
import { type Fields, isFields, mergeExtensions } from './merge.ts';
import { changedItems, insertedInto, isMerge, listsOf, mergedWith } from './steps.ts';
import { mergedChainSocket } from './transport-socket.ts';

const MANAGER = 'envoy.filters.network.http_connection_manager';

/**
 * One patch on one listener, of a context that it is for.
 * @returns the very same object where it matches nothing; undefined: the listener is removed
 */
export function patchedListener(listener: Fields, patch: ConfigPatch): Fields | undefined {
  if (!matchesListener(patch, listener)) return listener;
  switch (patch.applyTo) {
    case 'LISTENER':
      if (patch.operation === 'REMOVE') return undefined;
      return isMerge(patch) ? mergedWith(MESSAGES.LISTENER, listener, patch) : listener;
    case 'LISTENER_FILTER':
      return withItems(listener, 'listenerFilters', (filters) => listenerFilters(filters, patch));
    case 'FILTER_CHAIN':
      return patchedChains(listener, patch);
    case 'NETWORK_FILTER':
      return inChains(listener, patch, (chain) =>
        withItems(chain, 'filters', (filters) => patchedFilters(filters, patch, networkFilterOf(patch), merged)),
      );
    case 'HTTP_FILTER':
      return inChains(listener, patch, (chain) => patchedHttpFilters(chain, patch));
    default:
      return listener;
  }
}

/** The message with another list in a field; the same message for the same list. */
function withItems(message: Fields, field: string, change: (items: readonly Fields[]) => readonly Fields[]): Fields {
  const items = listOf(message[field]);
  const next = change(items);
  return next === items ? message : { ...message, [field]: next };
}

function listenerFilters(filters: readonly Fields[], patch: ConfigPatch): readonly Fields[] {
  const name = patch.match.listener?.listenerFilter || undefined;
  if (patch.operation === 'REMOVE') return changedItems(filters, (item) => (isNamed(name)(item) ? undefined : item));
  if (isMerge(patch)) return changedItems(filters, (item) => (isNamed(name)(item) ? merged(item, patch) : item));
  if (patch.operation === 'REPLACE' && name === undefined) return filters;
  return insertedInto(filters, patch, name === undefined ? undefined : isNamed(name));
}

/** @param name undefined: any */
const isNamed =
  (name: string | undefined) =>
  (item: Fields): boolean =>
    name === undefined || item['name'] === name;

function patchedChains(listener: Fields, patch: ConfigPatch): Fields {
  if (patch.operation === 'ADD') return withItems(listener, 'filterChains', (chains) => [...chains, patch.value]);
  return inChains(listener, patch, (chain) => {
    if (patch.operation === 'REMOVE') return undefined;
    if (!isMerge(patch)) return chain;
    return mergedChainSocket(chain, patch) ?? mergedWith(MESSAGES.FILTER_CHAIN, chain, patch);
  });
}

/** Every chain that the patch matches, the default one among them. One without filters is none. */
function inChains(listener: Fields, patch: ConfigPatch, change: (chain: Fields) => Fields | undefined): Fields {
  const changed = (chain: Fields) =>
    chain['filters'] !== undefined && matchesChain(patch, listener, chain) ? change(chain) : chain;
  const out = withItems(listener, 'filterChains', (chains) => changedItems(chains, changed));
  const last = listener['defaultFilterChain'];
  if (!isFields(last)) return out;
  const next = changed(last);
  if (next === last) return out;
  const { defaultFilterChain: _, ...others } = out;
  return next === undefined ? others : { ...out, defaultFilterChain: next };
}

function patchedHttpFilters(chain: Fields, patch: ConfigPatch): Fields {
  const wanted = networkFilterOf(patch);
  return withItems(chain, 'filters', (filters) =>
    changedItems(filters, (filter) => {
      const manager = fieldsOf(filter['typedConfig']);
      if (filter['name'] !== MANAGER || !isNamed(wanted)(filter)) return filter;
      const next = withItems(manager, 'httpFilters', (items) =>
        patchedFilters(items, patch, httpFilterOf(patch), httpMerged),
      );
      return next === manager ? filter : { ...filter, typedConfig: next };
    }),
  );
}

/** @param wanted the filter that the patch is about or is placed beside; undefined: none is named */
function patchedFilters(
  filters: readonly Fields[],
  patch: ConfigPatch,
  wanted: string | undefined,
  merge: (filter: Fields, patch: ConfigPatch) => Fields,
): readonly Fields[] {
  const matches = isNamed(wanted);
  if (patch.operation === 'REMOVE') return changedItems(filters, (item) => (matches(item) ? undefined : item));
  if (isMerge(patch)) return changedItems(filters, (item) => (matches(item) ? merge(item, patch) : item));
  // Without a name INSERT_FIRST, INSERT_BEFORE, INSERT_AFTER and ADD are about the list; there is nothing to replace.
  if (patch.operation === 'INSERT_FIRST') return [patch.value, ...filters];
  return insertedInto(filters, patch, wanted === undefined ? undefined : matches);
}

/** As a network filter; `isOptional` and `disabled` are the patch's where it has them. */
function httpMerged(filter: Fields, patch: ConfigPatch): Fields {
  const { name: _, typedConfig: __, configDiscovery: ___, ...others } = patch.value;
  return { ...merged(filter, patch), ...others };
}

/** The name may change; the configuration keeps its type. */
function merged(filter: Fields, patch: ConfigPatch): Fields {
  if (patch.replacement) return { ...filter, typedConfig: patch.replacement };
  const { name, typedConfig } = patch.value;
  const own = filter['typedConfig'];
  if (!isFields(own)) return filter;
  const config = isFields(typedConfig) ? mergeExtensions(own, typedConfig, listsOf(patch)) : own;
  return { ...filter, ...(name !== undefined && { name }), typedConfig: config };
}
