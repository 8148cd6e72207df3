/** The order of patches, and what one patch does to one resource. */
import type { Origin } from '../output/produced.ts';
import type { ApplyTo, ConfigPatch } from './config-patch.ts';
import { CONTEXTS, fieldsOf, inContext, listOf, type RoutePlace } from './match-resource.ts';
import { type Fields, isFields } from './merge.ts';
import { patchedCluster } from './patch-cluster.ts';
import { patchedListener } from './patch-listener.ts';
import { patchedRoutes } from './patch-routes.ts';
import { changedItems } from './steps.ts';

/** What is patched in discovery: resources of these types. */
export type PatchedType = 'listeners' | 'clusters' | 'endpoints' | 'routes';

/** From the outside in, as istiod walks its resources; within a phase patches apply in their order. What is added is not patched. */
const PHASES: Readonly<Partial<Record<ApplyTo, number>>> = {
  CLUSTER: 0,
  LISTENER: 0,
  LISTENER_FILTER: 1,
  FILTER_CHAIN: 2,
  NETWORK_FILTER: 3,
  HTTP_FILTER: 4,
  ROUTE_CONFIGURATION: 5,
  VIRTUAL_HOST: 6,
  HTTP_ROUTE: 7,
};
const ADDED_CHAINS = 8;
const ADDED_HOSTS = 9;

export function inPhases(patches: readonly ConfigPatch[]): readonly ConfigPatch[] {
  return patches.toSorted((a, b) => phaseOf(a) - phaseOf(b));
}

function phaseOf({ applyTo, operation }: ConfigPatch): number {
  if (operation === 'ADD' && applyTo === 'FILTER_CHAIN') return ADDED_CHAINS;
  if (operation === 'ADD' && applyTo === 'VIRTUAL_HOST') return ADDED_HOSTS;
  return PHASES[applyTo] ?? ADDED_HOSTS;
}

/** Which types of resources a patch may change. */
export function typesOf({ applyTo, operation }: ConfigPatch): readonly PatchedType[] {
  switch (applyTo) {
    case 'CLUSTER':
      // The endpoints of a cluster go with it.
      return operation === 'ADD' ? [] : operation === 'REMOVE' ? ['clusters', 'endpoints'] : ['clusters'];
    case 'LISTENER':
      return operation === 'ADD' ? [] : ['listeners'];
    case 'LISTENER_FILTER':
    case 'FILTER_CHAIN':
    case 'NETWORK_FILTER':
    case 'HTTP_FILTER':
      return ['listeners'];
    case 'ROUTE_CONFIGURATION':
    case 'VIRTUAL_HOST':
    case 'HTTP_ROUTE':
      // Listeners hold the routes of inbound ports.
      return ['routes', 'listeners'];
    default:
      return [];
  }
}

export interface ResourcePlace {
  readonly type: PatchedType;
  readonly origin: Pick<Origin, 'side' | 'port'>;
  /** Those that an inbound cluster serves. */
  readonly hosts: readonly string[];
}

/**
 * One patch on one resource.
 * @returns the very same object where it does not match; undefined: the resource is removed
 */
export function patchedResource(
  resource: Fields,
  patch: ConfigPatch,
  { type, origin, hosts }: ResourcePlace,
): Fields | undefined {
  const context = CONTEXTS[origin.side];
  if (!inContext(patch.match, context)) return resource;
  const ports = origin.port === undefined ? undefined : [origin.port];
  switch (type) {
    case 'clusters':
      return patchedCluster(resource, patch, hosts);
    case 'endpoints':
      return patchedCluster({ name: resource['clusterName'] }, patch, hosts) && resource;
    case 'routes':
      return patchedRoutes(resource, patch, { context, ports });
    case 'listeners':
      return typesOf(patch).includes('routes')
        ? inManagers(resource, (config) => patchedRoutes(config, patch, { context }))
        : patchedListener(resource, patch);
  }
}

/** The listener with each route configuration that its connection managers hold changed. */
function inManagers(listener: Fields, change: (config: Fields) => Fields): Fields {
  const inChain = (chain: Fields): Fields => {
    const filters = listOf(chain['filters']);
    const next = changedItems(filters, (filter) => {
      const manager = fieldsOf(filter['typedConfig']);
      const config = manager['routeConfig'];
      if (!isFields(config)) return filter;
      const changed = change(config);
      return changed === config ? filter : { ...filter, typedConfig: { ...manager, routeConfig: changed } };
    });
    return next === filters ? chain : { ...chain, filters: next };
  };
  const chains = listOf(listener['filterChains']);
  const next = changedItems(chains, inChain);
  const last = listener['defaultFilterChain'];
  const nextLast = isFields(last) ? inChain(last) : last;
  if (next === chains && nextLast === last) return listener;
  return {
    ...listener,
    ...(next !== chains && { filterChains: next }),
    ...(nextLast !== last && { defaultFilterChain: nextLast }),
  };
}

/** The resource that the patch adds to those of a type, on a side; undefined: none. */
export function addedBy(
  { applyTo, operation, match, value }: ConfigPatch,
  type: PatchedType,
  side: Origin['side'],
): Fields | undefined {
  if (operation !== 'ADD' || !inContext(match, CONTEXTS[side])) return undefined;
  const added: PatchedType | undefined =
    applyTo === 'CLUSTER' ? 'clusters' : applyTo === 'LISTENER' ? 'listeners' : undefined;
  return added === type ? value : undefined;
}

export type { RoutePlace };
