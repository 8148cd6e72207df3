/** The schema of EnvoyFilter's spec, field for field (istio.io/latest/docs/reference/config/networking/envoy-filter). */
import type { z } from 'zod';
import { SubFilter, targetRefs, WorkloadSelector } from './common.ts';
import * as rules from './rules/rules.ts';
import { atMostOne, integer, list, map, object, oneOfNames, string, struct, withRules } from './vocabulary.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const Cluster = object({
  name: string().describe('Name of the cluster, exactly; the other fields are then not used.'),
  portNumber: uint32().describe('Port of the service; for inbound clusters the port of the workload.'),
  service: string().describe('Host of the service; not for inbound clusters.'),
  subset: string().describe('Subset of the service.'),
});
export type Cluster = z.infer<typeof Cluster>;

export const Filter = object({
  name: string().describe('Name of the network filter, as envoy.filters.network.http_connection_manager.'),
  subFilter: SubFilter.extend({ name: string().describe('Name of the HTTP filter, as envoy.filters.http.router.') })
    .partial()
    .describe('A filter within that filter; only of the HTTP connection manager.'),
});
export type Filter = z.infer<typeof Filter>;

export const FilterChain = object({
  applicationProtocols: string().describe('Application protocols the chain matches, joined by commas.'),
  destinationPort: uint32().describe('Destination port the chain matches.'),
  filter: Filter.describe('A network filter of the chain.'),
  name: string().describe('Name of the filter chain.'),
  sni: string().describe('Server name (SNI) the chain matches.'),
  transportProtocol: string().describe('Transport protocol the chain matches, raw_buffer or tls. Default: any.'),
  transportSocket: string().describe('Name of the transport socket of the chain, as envoy.transport_sockets.tls.'),
});
export type FilterChain = z.infer<typeof FilterChain>;

export const Listener = object({
  filterChain: FilterChain.describe('A filter chain of the listener. Default: every chain.'),
  listenerFilter: string().describe('Name of a listener filter; the patch applies to it.'),
  name: string().describe('Name of the listener, exactly, as virtualInbound.'),
  portName: string().describe('Name of the port of the Gateway server or service.'),
  portNumber: uint32().describe('Port traffic is sent to. Default: any listener.'),
});
export type Listener = z.infer<typeof Listener>;

export const ProxyMatch = object({
  metadata: map(string()).describe('Entries the metadata of the node must all have.'),
  proxyVersion: string().describe('Regular expression for the version of Istio in the metadata of the node.'),
});
export type ProxyMatch = z.infer<typeof ProxyMatch>;

export const Route = object({
  action: oneOfNames(['ANY', 'ROUTE', 'REDIRECT', 'DIRECT_RESPONSE']).describe('What the route does. Default: ANY.'),
  name: string().describe('Name of the route, exactly.'),
});
export type Route = z.infer<typeof Route>;

export const Vhost = object({
  domainName: string().describe('A domain of the virtual host.'),
  name: string().describe('Name of the virtual host, host:port.'),
  route: Route.describe('A route of the virtual host. Default: every route.'),
});
export type Vhost = z.infer<typeof Vhost>;

export const RouteConfiguration = object({
  gateway: string().describe('Gateway the route configuration is made for, as namespace/name; at gateways only.'),
  name: string().describe('Name of the route configuration, exactly.'),
  portName: string().describe('Name of the port of the Gateway server; at gateways only.'),
  portNumber: uint32().describe('Port of the service or of the Gateway server.'),
  vhost: Vhost.describe('A virtual host of the route configuration. Default: every one.'),
});
export type RouteConfiguration = z.infer<typeof RouteConfiguration>;

export const Waypoint = object({
  filter: Filter.describe('A filter of the waypoint.'),
  portNumber: withRules(uint32(), rules.port).describe('Port of the service, 1 to 65535. Default: every port.'),
  route: SubFilter.extend({ name: string().describe('Name of the route, exactly.') })
    .partial()
    .describe('A route of the waypoint.'),
});
export type Waypoint = z.infer<typeof Waypoint>;

export const ConfigPatchMatch = withRules(
  atMostOne(
    object({
      cluster: Cluster.describe('Clusters to patch.'),
      context: oneOfNames(['ANY', 'SIDECAR_INBOUND', 'SIDECAR_OUTBOUND', 'GATEWAY', 'WAYPOINT']).describe(
        'Which proxies, and which of their traffic directions. Default: ANY.',
      ),
      listener: Listener.describe('Listeners to patch, or parts of them.'),
      proxy: ProxyMatch.describe('Conditions on the proxy itself.'),
      routeConfiguration: RouteConfiguration.describe('Route configurations to patch, or parts of them.'),
      waypoint: Waypoint.describe('Parts of a waypoint to patch; with context WAYPOINT.'),
    }),
    ['listener', 'routeConfiguration', 'cluster', 'waypoint'],
  ),
  rules.waypointContext,
);
export type ConfigPatchMatch = z.infer<typeof ConfigPatchMatch>;

export const Patch = object({
  filterClass: oneOfNames(['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']).describe(
    'Where an added filter goes in relation to those of the mesh, in place of INSERT_BEFORE a named one. Default: UNSPECIFIED.',
  ),
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
  ]).describe(
    'What is done. MERGE merges as protobuf does, lists are appended; MERGE_AND_REPLACE_LIST replaces lists. The INSERT_ ones and REPLACE are for entries of lists, as filters and routes.',
  ),
  value: struct().describe("Envoy's own message in JSON, of the type that applyTo names. Not with REMOVE."),
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
  ]).describe('What kind of thing in the config of the proxy the patch changes.'),
  match: ConfigPatchMatch.describe('Which of them. Default: every one.'),
  patch: Patch.describe('The change.'),
});
export type ConfigPatch = z.infer<typeof ConfigPatch>;

export const EnvoyFilterSpec = withRules(
  object({
    configPatches: list(ConfigPatch).describe('Patches to the config of the proxies, applied in order.'),
    priority: integer().describe(
      'Order among EnvoyFilters of a namespace, low first; those of the root namespace go before all. Default: 0.',
    ),
    targetRefs,
    workloadSelector: WorkloadSelector.describe(
      'The workloads of the namespace whose proxies are patched. Default: all of the namespace, or of the mesh in the root namespace.',
    ),
  }),
  rules.filterTarget,
);
export type EnvoyFilterSpec = z.infer<typeof EnvoyFilterSpec>;
