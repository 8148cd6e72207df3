/** The schema of EnvoyFilter's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicyTargetReference, SubFilter, WorkloadSelector } from './common.ts';
import { atMostOne, integer, list, map, object, oneOfNames, string, struct } from './vocabulary.ts';

export const Cluster = object({
  name: string(),
  portNumber: integer({ min: 0, max: 4294967295 }),
  service: string(),
  subset: string(),
});
export type Cluster = z.infer<typeof Cluster>;

export const Filter = object({
  name: string(),
  subFilter: SubFilter,
});
export type Filter = z.infer<typeof Filter>;

export const FilterChain = object({
  applicationProtocols: string(),
  destinationPort: integer({ min: 0, max: 4294967295 }),
  filter: Filter,
  name: string(),
  sni: string(),
  transportProtocol: string(),
  transportSocket: string(),
});
export type FilterChain = z.infer<typeof FilterChain>;

export const Listener = object({
  filterChain: FilterChain,
  listenerFilter: string(),
  name: string(),
  portName: string(),
  portNumber: integer({ min: 0, max: 4294967295 }),
});
export type Listener = z.infer<typeof Listener>;

export const ProxyMatch = object({
  metadata: map(string()),
  proxyVersion: string(),
});
export type ProxyMatch = z.infer<typeof ProxyMatch>;

export const Route = object({
  action: oneOfNames(['ANY', 'ROUTE', 'REDIRECT', 'DIRECT_RESPONSE']),
  name: string(),
});
export type Route = z.infer<typeof Route>;

export const Vhost = object({
  domainName: string(),
  name: string(),
  route: Route,
});
export type Vhost = z.infer<typeof Vhost>;

export const RouteConfiguration = object({
  gateway: string(),
  name: string(),
  portName: string(),
  portNumber: integer({ min: 0, max: 4294967295 }),
  vhost: Vhost,
});
export type RouteConfiguration = z.infer<typeof RouteConfiguration>;

export const Waypoint = object({
  filter: Filter,
  portNumber: integer({ min: 0, max: 4294967295 }),
  route: SubFilter,
});
export type Waypoint = z.infer<typeof Waypoint>;

export const ConfigPatchMatch = atMostOne(
  object({
    cluster: Cluster,
    context: oneOfNames(['ANY', 'SIDECAR_INBOUND', 'SIDECAR_OUTBOUND', 'GATEWAY', 'WAYPOINT']),
    listener: Listener,
    proxy: ProxyMatch,
    routeConfiguration: RouteConfiguration,
    waypoint: Waypoint,
  }),
  ['listener', 'routeConfiguration', 'cluster', 'waypoint'],
);
export type ConfigPatchMatch = z.infer<typeof ConfigPatchMatch>;

export const Patch = object({
  filterClass: oneOfNames(['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']),
  operation: oneOfNames([
    'INVALID',
    'MERGE',
    'ADD',
    'REMOVE',
    'INSERT_BEFORE',
    'INSERT_AFTER',
    'INSERT_FIRST',
    'REPLACE',
    'MERGE_AND_REPLACE_LIST',
  ]),
  value: struct(),
});
export type Patch = z.infer<typeof Patch>;

export const ConfigPatch = object({
  applyTo: oneOfNames([
    'INVALID',
    'LISTENER',
    'FILTER_CHAIN',
    'NETWORK_FILTER',
    'HTTP_FILTER',
    'ROUTE_CONFIGURATION',
    'VIRTUAL_HOST',
    'HTTP_ROUTE',
    'CLUSTER',
    'EXTENSION_CONFIG',
    'BOOTSTRAP',
    'LISTENER_FILTER',
  ]),
  match: ConfigPatchMatch,
  patch: Patch,
});
export type ConfigPatch = z.infer<typeof ConfigPatch>;

export const EnvoyFilterSpec = object({
  configPatches: list(ConfigPatch),
  priority: integer(),
  targetRefs: list(PolicyTargetReference, { max: 16 }),
  workloadSelector: WorkloadSelector,
});
export type EnvoyFilterSpec = z.infer<typeof EnvoyFilterSpec>;
