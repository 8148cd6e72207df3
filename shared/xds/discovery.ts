/**
 * Incremental xDS as JSON over HTTP long-poll: the fields of envoy.service.discovery.v3.DeltaDiscoveryRequest and
 * DeltaDiscoveryResponse. One `POST /v3/delta-discovery` carries one exchange; the server holds it until something
 * the subscription covers has changed, or answers with no resources when the hold ends.
 */
import * as z from 'zod';
import { Cluster, ClusterLoadAssignment } from './cluster.ts';
import { Node } from './core.ts';
import { IndexedHost } from './indexed-host.ts';
import { Listener } from './listener.ts';
import { bool, list, map, message, messageRequiring, nonEmpty, string, uint32 } from './message.ts';
import { RouteConfiguration, VirtualHost } from './route.ts';
import { Secret } from './tls.ts';

/** The resource types in dependency order (make before break). */
export const RESOURCE_TYPES = [
  'secrets',
  'clusters',
  'endpoints',
  'hosts',
  'virtualHosts',
  'routes',
  'listeners',
] as const;
export type ResourceType = (typeof RESOURCE_TYPES)[number];

export const TYPE_URLS = {
  secrets: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  clusters: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoints: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listeners: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  /** The host index; only for nodes with the feature `tulle.on-demand`. */
  hosts: 'type.googleapis.com/tulle.discovery.v1.IndexedHost',
  /** Only for nodes with the feature `tulle.virtual-hosts`. */
  virtualHosts: 'type.googleapis.com/envoy.config.route.v3.VirtualHost',
  routes: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
} as const satisfies Record<ResourceType, string>;

/** What each type holds. */
export interface XdsResource {
  secrets: Secret;
  clusters: Cluster;
  endpoints: ClusterLoadAssignment;
  listeners: Listener;
  hosts: IndexedHost;
  virtualHosts: VirtualHost;
  routes: RouteConfiguration;
}
export const SCHEMAS: { [T in ResourceType]: z.ZodType<XdsResource[T]> } = {
  secrets: Secret,
  clusters: Cluster,
  endpoints: ClusterLoadAssignment,
  listeners: Listener,
  hosts: IndexedHost,
  virtualHosts: VirtualHost,
  routes: RouteConfiguration,
};

/** The name a resource is known by in discovery. */
export function resourceName(type: ResourceType, resource: XdsResource[ResourceType]): string {
  return type === 'endpoints'
    ? (resource as ClusterLoadAssignment).clusterName
    : ((resource as { name?: string }).name ?? '');
}

/** Types that only nodes with a feature are sent. */
export type FeatureType = 'hosts' | 'virtualHosts';

/**
 * Everything that one proxy runs: the output of the compile step and of `tulle compile`. `virtualHosts` is absent where route
 * configurations are whole, `hosts` where nothing is fetched on demand.
 */
export type Snapshot = { [T in Exclude<ResourceType, FeatureType>]: XdsResource[T][] } & {
  [T in FeatureType]?: XdsResource[T][];
};

/**
 * Extensions of incremental xDS. A node announces its own in `client_features`, the control plane those it will use in
 * its first answer. Neither uses a field or type of a feature that the other has not announced.
 *
 * - `tulle.virtual-hosts`: route configurations have `vhds` and no virtual hosts; those are resources of their own type,
 *   whose name, in discovery and in the resource, is `<route configuration>/<virtual host>`.
 * - `tulle.held-digests`: a node says what it holds with one digest a name bucket (`held-digests.ts`), and the names
 *   only of the buckets that the answer's `namesWanted` lists, in as many polls as it likes.
 * - `tulle.answer-pages`: an answer is cut where it would be large, and `more` says that it was. Removals are in the last.
 * - `tulle.on-demand` (with `tulle.virtual-hosts`): `*` of virtual hosts, clusters and endpoints means those that are eager.
 *   A node names further virtual hosts and clusters and is sent what they need besides; the host index (type `hosts`) says
 *   which hosts there are. Removals follow the ACK of what an answer adds, those of listeners excepted.
 */
export const FEATURES = ['tulle.virtual-hosts', 'tulle.held-digests', 'tulle.answer-pages', 'tulle.on-demand'] as const;
export type Feature = (typeof FEATURES)[number];

/** The types that a session with these features may subscribe to. */
export function typesWith(features: ReadonlySet<Feature>): readonly ResourceType[] {
  return RESOURCE_TYPES.filter((type) => {
    if (type === 'hosts') return features.has('tulle.on-demand');
    return type !== 'virtualHosts' || features.has('tulle.virtual-hosts');
  });
}

/** The announced features that this version has, without one that lacks what it needs. */
export function knownFeatures(announced: readonly string[] | undefined): ReadonlySet<Feature> {
  const known = new Set(FEATURES.filter((feature) => announced?.includes(feature)));
  if (!known.has('tulle.virtual-hosts')) known.delete('tulle.on-demand');
  return known;
}

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
    /** In the place of `initialResourceVersions`: the digest of each name bucket, '' for an empty one. */
    heldDigests: list(z.string()),
    /** Buckets of which every name has been sent, in this poll and those before it. */
    namesSent: list(uint32()),
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

/** Buckets whose names the control plane has to know before it can answer. */
export const NamesWanted = messageRequiring({ typeUrl: nonEmpty(), buckets: list(uint32()) }, ['typeUrl', 'buckets']);
export type NamesWanted = z.infer<typeof NamesWanted>;

export const DiscoveryAnswer = messageRequiring(
  {
    session: nonEmpty(),
    responses: list(DeltaDiscoveryResponse),
    /** In the first answer to a node that announced any: the features that the control plane will use. */
    features: list(nonEmpty()),
    namesWanted: list(NamesWanted),
    /** The next poll is answered with the rest. */
    more: bool(),
  },
  ['session', 'responses'],
);
export type DiscoveryAnswer = z.infer<typeof DiscoveryAnswer>;
