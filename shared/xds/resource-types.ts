/**
 * The resource types of discovery: the only list of them. A type is one row; what reads rows is the same for all types.
 */
import type { z } from 'zod';
import { DnsHost } from '../dns/dns-host.ts';
import { Cluster, ClusterLoadAssignment } from './cluster.ts';
import { IndexedHost } from './indexed-host.ts';
import { Listener } from './listener.ts';
import { RouteConfiguration, VirtualHost } from './route.ts';
import { Secret } from './tls.ts';

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
 * - `tulle.trust`: answers hold the mesh's roots and its revoked certificates (`trust` of a DiscoveryAnswer), polls the version
 *   of them that the proxy has put in force. A held poll is answered when they change.
 * - `tulle.dns`: a node answers DNS queries, and is sent the names and addresses of all hosts that it may call (type `dnsHosts`).
 * - `tulle.control-planes`: answers hold the URLs of all control planes of the mesh (`controlPlanes`), to any of which the node may go.
 */
export const FEATURES = [
  'tulle.virtual-hosts',
  'tulle.held-digests',
  'tulle.answer-pages',
  'tulle.on-demand',
  'tulle.trust',
  'tulle.dns',
  'tulle.control-planes',
] as const;
export type Feature = (typeof FEATURES)[number];

/** The announced features that this version has, without one that lacks what it needs. */
export function knownFeatures(announced: readonly string[] | undefined): ReadonlySet<Feature> {
  const known = new Set(FEATURES.filter((feature) => announced?.includes(feature)));
  if (!known.has('tulle.virtual-hosts')) known.delete('tulle.on-demand');
  return known;
}

interface TypeRow {
  readonly url: string;
  readonly schema: z.ZodType;
  /** The field that is its name in discovery. Default: `name`. */
  readonly nameField?: string;
  /** Only nodes with the feature are sent it. */
  readonly feature?: Feature;
  /** It holds private keys: it is encoded for each answer, never compressed, and never sent for a bearer token. */
  readonly confidential?: true;
  /** An answer is not cut amid its resources, and their removals do not wait: one may take the address of another. */
  readonly atOnce?: true;
  /** Removals come with the first page of an answer: another resource may take a domain that one of them has. */
  readonly removedFirst?: true;
}

/** In dependency order (make before break): additions are applied in this order, removals backwards. */
const XDS_TYPES = {
  secrets: {
    url: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
    schema: Secret,
    confidential: true,
  },
  clusters: { url: 'type.googleapis.com/envoy.config.cluster.v3.Cluster', schema: Cluster },
  endpoints: {
    url: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
    schema: ClusterLoadAssignment,
    nameField: 'clusterName',
  },
  /** The host index. */
  hosts: {
    url: 'type.googleapis.com/tulle.discovery.v1.IndexedHost',
    schema: IndexedHost,
    feature: 'tulle.on-demand',
  },
  /** Names and addresses for DNS. */
  dnsHosts: {
    url: 'type.googleapis.com/tulle.discovery.v1.DnsHost',
    schema: DnsHost,
    feature: 'tulle.dns',
  },
  virtualHosts: {
    url: 'type.googleapis.com/envoy.config.route.v3.VirtualHost',
    schema: VirtualHost,
    feature: 'tulle.virtual-hosts',
    removedFirst: true,
  },
  routes: { url: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration', schema: RouteConfiguration },
  listeners: { url: 'type.googleapis.com/envoy.config.listener.v3.Listener', schema: Listener, atOnce: true },
} as const satisfies Record<string, TypeRow>;

type Rows = typeof XDS_TYPES;
export type ResourceType = keyof Rows;

/** What each type holds. */
export type XdsResource = { [T in ResourceType]: z.infer<Rows[T]['schema']> };

/** Types that only nodes with a feature are sent. */
export type FeatureType = {
  [T in ResourceType]: Rows[T] extends { readonly feature: Feature } ? T : never;
}[ResourceType];

export const RESOURCE_TYPES = Object.keys(XDS_TYPES) as readonly ResourceType[];

/** The row of a type, as any row. */
export function rowOf(type: ResourceType): TypeRow {
  return XDS_TYPES[type];
}

const column = <Value>(of: (type: ResourceType) => Value) =>
  Object.fromEntries(RESOURCE_TYPES.map((type) => [type, of(type)]));

export const TYPE_URLS = column((type) => rowOf(type).url) as { readonly [T in ResourceType]: Rows[T]['url'] };
export const SCHEMAS = column((type) => rowOf(type).schema) as {
  readonly [T in ResourceType]: z.ZodType<XdsResource[T]>;
};

const byUrl = new Map(RESOURCE_TYPES.map((type) => [TYPE_URLS[type] as string, type]));

/** The type of a type URL; undefined for one that Tulle does not know. */
export function typeOfUrl(url: string): ResourceType | undefined {
  return byUrl.get(url);
}

/** Whether resources of that type URL hold private keys. */
export function isConfidential(url: string): boolean {
  const type = typeOfUrl(url);
  return type !== undefined && rowOf(type).confidential === true;
}

/** The name a resource is known by in discovery, before or after it was read (proto3 JSON has two spellings); '' without one. */
export function resourceName(type: ResourceType, resource: unknown): string {
  const fields = (resource ?? {}) as Record<string, unknown>;
  const { nameField = 'name' } = rowOf(type);
  const name = fields[nameField] ?? fields[nameField.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
  return typeof name === 'string' ? name : '';
}

/** The types that a session with these features may subscribe to. */
export function typesWith(features: ReadonlySet<Feature>): readonly ResourceType[] {
  return RESOURCE_TYPES.filter((type) => {
    const { feature } = rowOf(type);
    return feature === undefined || features.has(feature);
  });
}

/**
 * Everything that one proxy runs: the output of the compile step and of `tulle compile`. `virtualHosts` is absent where route
 * configurations are whole, `hosts` where nothing is fetched on demand, `dnsHosts` where it answers no DNS queries.
 */
export type Snapshot = { [T in Exclude<ResourceType, FeatureType>]: XdsResource[T][] } & {
  [T in FeatureType]?: XdsResource[T][];
};
