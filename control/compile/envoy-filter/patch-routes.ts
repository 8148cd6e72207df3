/** Patches of a route configuration and of what is in it: virtual hosts and routes. */
import { type ConfigPatch, MESSAGES } from './config-patch.ts';
import {
  listOf,
  matchesConfiguration,
  matchesRoute,
  matchesVirtualHost,
  namesRoute,
  type RoutePlace,
} from './match-resource.ts';
import type { Fields } from './merge.ts';
import { changedItems, insertedInto, isMerge, mergedWith } from './steps.ts';

/**
 * One patch on one route configuration, of a context that it is for.
 * @returns the very same object where it matches nothing
 */
export function patchedRoutes(config: Fields, patch: ConfigPatch, place: RoutePlace): Fields {
  if (!matchesConfiguration(patch, config, place)) return config;
  switch (patch.applyTo) {
    case 'ROUTE_CONFIGURATION':
      return isMerge(patch) ? mergedWith(MESSAGES.ROUTE_CONFIGURATION, config, patch) : config;
    case 'VIRTUAL_HOST':
      return withHosts(config, (hosts) => patchedHosts(hosts, patch));
    case 'HTTP_ROUTE':
      return withHosts(config, (hosts) =>
        changedItems(hosts, (host) => (matchesVirtualHost(patch, host) ? patchedRoutesOf(host, patch) : host)),
      );
    default:
      return config;
  }
}

function withHosts(config: Fields, change: (hosts: readonly Fields[]) => readonly Fields[]): Fields {
  const hosts = listOf(config['virtualHosts']);
  const next = change(hosts);
  return next === hosts ? config : { ...config, virtualHosts: next };
}

function patchedHosts(hosts: readonly Fields[], patch: ConfigPatch): readonly Fields[] {
  if (patch.operation === 'ADD') return [...hosts, patch.value];
  return changedItems(hosts, (host) => {
    if (!matchesVirtualHost(patch, host)) return host;
    if (patch.operation === 'REMOVE') return undefined;
    if (patch.operation === 'REPLACE') return patch.value;
    return isMerge(patch) ? mergedWith(MESSAGES.VIRTUAL_HOST, host, patch) : host;
  });
}

function patchedRoutesOf(host: Fields, patch: ConfigPatch): Fields {
  const routes = listOf(host['routes']);
  const next = routesAfter(routes, patch);
  return next === routes ? host : { ...host, routes: next };
}

function routesAfter(routes: readonly Fields[], patch: ConfigPatch): readonly Fields[] {
  const matches = (route: Fields) => matchesRoute(patch, route);
  if (patch.operation === 'REMOVE') return changedItems(routes, (route) => (matches(route) ? undefined : route));
  if (isMerge(patch))
    return changedItems(routes, (route) => (matches(route) ? mergedWith(MESSAGES.HTTP_ROUTE, route, patch) : route));
  return insertedInto(routes, patch, namesRoute(patch) ? matches : undefined);
}
