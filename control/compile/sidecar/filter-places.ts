/** The order of the HTTP filters that policies and plugins add to a connection manager (buildHTTPConnectionManager of Istio). */
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';

/**
 * In the order in which requests pass them. Names in capitals are the phases of WasmPlugin and TrafficExtension: their
 * plugins run in front of what Istio puts behind that phase.
 */
const FILTER_PLACES = [
  /** What proves who the caller is, besides its connection: JWT-SVIDs of edge workers. */
  'identity',
  /** ext_authz of AuthorizationPolicies whose action is CUSTOM. */
  'custom',
  'AUTHN',
  /** jwt_authn of RequestAuthentications. */
  'authentication',
  'AUTHZ',
  /** rbac of the other AuthorizationPolicies. */
  'authorization',
  'STATS',
  'UNSPECIFIED_PHASE',
] as const;

export type FilterPlace = (typeof FILTER_PLACES)[number];

export type PlacedFilters = Readonly<Partial<Record<FilterPlace, readonly HttpFilter[]>>>;

export function filtersInOrder(placed: PlacedFilters): HttpFilter[] {
  return FILTER_PLACES.flatMap((place) => placed[place] ?? []);
}
