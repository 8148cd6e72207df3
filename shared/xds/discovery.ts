/**
 * Incremental xDS as JSON over HTTP long-poll: the fields of envoy.service.discovery.v3.DeltaDiscoveryRequest and
 * DeltaDiscoveryResponse. One `POST /v3/delta-discovery` carries one exchange; the server holds it until something
 * the subscription covers has changed, or answers with no resources when the hold ends.
 */
import * as z from 'zod';
import { Cluster, ClusterLoadAssignment } from './cluster.ts';
import { Node } from './core.ts';
import { Listener } from './listener.ts';
import { list, map, message, messageRequiring, nonEmpty, string } from './message.ts';
import { RouteConfiguration } from './route.ts';
import { Secret } from './tls.ts';

/** The resource types in dependency order (make before break). */
export const RESOURCE_TYPES = ['secrets', 'clusters', 'endpoints', 'listeners', 'routes'] as const;
export type ResourceType = (typeof RESOURCE_TYPES)[number];

export const TYPE_URLS = {
  secrets: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  clusters: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoints: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listeners: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  routes: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
} as const satisfies Record<ResourceType, string>;

/** What each type holds. */
export interface XdsResource {
  secrets: Secret;
  clusters: Cluster;
  endpoints: ClusterLoadAssignment;
  listeners: Listener;
  routes: RouteConfiguration;
}
export const SCHEMAS: { [T in ResourceType]: z.ZodType<XdsResource[T]> } = {
  secrets: Secret,
  clusters: Cluster,
  endpoints: ClusterLoadAssignment,
  listeners: Listener,
  routes: RouteConfiguration,
};

/** The name a resource is known by in discovery. */
export function resourceName(type: ResourceType, resource: XdsResource[ResourceType]): string {
  return type === 'endpoints'
    ? (resource as ClusterLoadAssignment).clusterName
    : ((resource as { name?: string }).name ?? '');
}

/** Everything that one proxy runs: the output of the compile step and of `tulle compile`. */
export type Snapshot = { [T in ResourceType]: XdsResource[T][] };

/** google.rpc.Status, as it travels in a NACK. */
export const ErrorDetail = message({ code: z.int(), message: string() });

export const DeltaDiscoveryRequest = messageRequiring(
  {
    node: Node,
    typeUrl: nonEmpty(),
    /** `*` subscribes to every resource of the type. */
    resourceNamesSubscribe: list(nonEmpty()),
    resourceNamesUnsubscribe: list(nonEmpty()),
    /** What the proxy already has, name -> version; sent on the first request of a session. */
    initialResourceVersions: map(z.string()),
    responseNonce: string(),
    errorDetail: ErrorDetail,
  },
  ['typeUrl'],
);
export type DeltaDiscoveryRequest = z.infer<typeof DeltaDiscoveryRequest>;

/** One resource in a response. `resource` is left unparsed: an invalid resource must not hide the others. */
export const DiscoveryResource = messageRequiring(
  { name: nonEmpty(), version: z.string(), resource: z.record(z.string(), z.unknown()) },
  ['name', 'version'],
);

export const DeltaDiscoveryResponse = messageRequiring(
  {
    systemVersionInfo: string(),
    typeUrl: nonEmpty(),
    resources: list(DiscoveryResource),
    removedResources: list(nonEmpty()),
    nonce: nonEmpty(),
  },
  ['typeUrl', 'nonce'],
);
export type DeltaDiscoveryResponse = z.infer<typeof DeltaDiscoveryResponse>;

/**
 * One long-poll: the proxy's requests for every type at once, so that one held request covers the whole proxy and
 * answers keep RESOURCE_TYPES order (make before break). `session` is empty on the first poll, then as the server gave it.
 */
export const DiscoveryPoll = messageRequiring(
  { session: string(), node: Node, requests: list(DeltaDiscoveryRequest) },
  ['node', 'requests'],
);
export type DiscoveryPoll = z.infer<typeof DiscoveryPoll>;
export const DiscoveryAnswer = messageRequiring({ session: nonEmpty(), responses: list(DeltaDiscoveryResponse) }, [
  'session',
  'responses',
]);
export type DiscoveryAnswer = z.infer<typeof DiscoveryAnswer>;
