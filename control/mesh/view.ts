/** What the compile step may see of the mesh: an immutable view of one revision. */
import type { Protocol } from '../../shared/match/protocol.ts';
import type { MeshConfig } from '../../shared/resources/mesh-config/mesh-config.ts';
import type { MeshNetworks } from '../../shared/resources/mesh-config/mesh-networks.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Json } from '../../shared/xds/message.ts';
import type { KeySets } from './key-sets.ts';
import type { RouteForm } from './routes/route-form.ts';

export interface ServicePort {
  number: number;
  name: string;
  protocol: Protocol;
  /** Number or name at the workload; absent: the service port. */
  targetPort?: number | string;
}

export interface MeshService {
  /** FQDN, as `reviews.default.svc.cluster.local`, or a ServiceEntry's host. */
  hostname: string;
  namespace: string;
  /** The short name for Kubernetes services, else the host. */
  name: string;
  ports: readonly ServicePort[];
  /** Virtual IPs; empty when there is none. */
  addresses: readonly string[];
  /** Addresses for a service without any, where proxies answer DNS look-ups; see `auto-addresses.ts`. */
  autoAddresses?: readonly string[];
  /** Of a Service of type ExternalName: the host name that it is an alias of. */
  aliasOf?: string;
  /** In the scope of a proxy: the host names of Services of type ExternalName that are aliases of it. */
  aliases?: readonly string[];
  resolution: 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN' | 'DYNAMIC_DNS' | 'NONE';
  /** MESH_EXTERNAL: no mTLS is assumed. */
  external: boolean;
  /** `*`, `.` or namespace names, the mesh's default where the service names none; never empty. */
  exportTo: readonly string[];
  subjectAltNames: string[];
  labels: Record<string, string>;
  /** RFC 3339; orders conflicts: the oldest wins, then name, then namespace. */
  creationTimestamp: string;
  resource: Resource;
  /** The service of the registry, of one that a scope shows with other ports, addresses or aliases: endpoints are found by it. */
  whole?: MeshService;
}

export interface MeshEndpoint {
  address: string;
  /** Port at the endpoint. */
  port: number;
  /** The service port's number it serves. */
  servicePort: number;
  labels: Readonly<Record<string, string>>;
  /** `region/zone/subzone`, '' unknown. */
  locality: string;
  weight: number;
  serviceAccount: string;
  namespace: string;
  network: string;
  /** Name of the workload instance, for `istio.workload` metadata. */
  workloadName: string;
  /** What describes the workload: with namespace and `workloadName` it tells workloads at one address apart. */
  workloadKind: 'WorkloadEntry' | 'ServiceEntry' | 'Service' | 'Pod' | 'EndpointSlice';
  healthy: boolean;
  /** Its name below the host name of a headless service. */
  hostname?: string;
  /** It can do mTLS (has a service account or label security.istio.io/tlsMode: istio). */
  mtls: boolean;
}

/** A line of text in Envoy's command operators, or an object of JSON; true: with Istio's default fields. */
export interface AccessLogFormat {
  readonly text?: string;
  readonly json?: true | { readonly [field: string]: Json };
}

export interface MeshSettings {
  /** The whole MeshConfig, Istio's defaults included; the fields below are read from it. */
  config: MeshConfig;
  /** Networks and their gateways; absent: one network. */
  networks?: MeshNetworks;
  /** What is wrong with the configuration but does not hinder its use, one line each. */
  warnings?: readonly string[];
  rootNamespace: string;
  trustDomain: string;
  /** `cluster.local` */
  domainSuffix: string;
  outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY' | 'ALLOW_ANY_DYNAMIC_DNS';
  enableAutoMtls: boolean;
  /** Other names this trust domain is known by, for AuthorizationPolicy principals. */
  trustDomainAliases?: string[];
  /** Where access logs go (`/dev/stdout`); '' or absent: nowhere. */
  accessLogFile?: string;
  /** How lines are written; absent: as Istio's default text. */
  accessLogFormat?: AccessLogFormat;
  /** Upstream connect timeout as a protobuf duration; absent: Istio's `10s`. */
  connectTimeout?: string;
  /** A workload may have CUSTOM policies of several providers; absent: they deny. */
  multipleAuthorizers?: boolean;
  /** How gateways recognise JWT-SVIDs of this mesh; absent offline, where none are signed. */
  jwtSvid?: JwtSvidSettings;
}

export interface JwtSvidSettings {
  /** The `iss` of tokens. */
  issuer: string;
  /** JSON Web Key Set, as JSON text. */
  jwks: string;
}

/** One step: a resource that was replaced is in both lists. */
export interface MeshUpdate {
  /** The very objects that were added before. */
  removed: readonly Resource[];
  added: readonly Resource[];
}

/** Which objects of the mesh one step changed. */
export interface MeshChange {
  /** Kind -> `namespace/name` of the resources written or deleted. */
  readonly resources: ReadonlyMap<string, ReadonlySet<string>>;
  /** The resources written, as they are now; the deleted ones are not among them. */
  readonly written: readonly Resource[];
  /** The resources deleted, as they were. */
  readonly deleted: readonly Resource[];
  /** `namespace/hostname` of services that were added, removed or defined differently. */
  readonly services: ReadonlySet<string>;
  /** `namespace/hostname` of services whose endpoints are others. */
  readonly endpoints: ReadonlySet<string>;
  readonly settings: boolean;
}

/**
 * Identity (`===`) says "unchanged" from one view to the next: of `settings`, `services`, each service, the list of its
 * endpoints and each endpoint, of `routes`, each route form, `keySets` and each key set, and the list of a kind's resources.
 */
export interface MeshView {
  readonly revision: number;
  readonly settings: MeshSettings;
  /** Sorted by hostname, then namespace. */
  readonly services: readonly MeshService[];
  service(hostname: string, namespace: string): MeshService | undefined;
  /** Endpoints of a service, every port. */
  endpoints(service: MeshService): readonly MeshEndpoint[];
  /** Services of all namespaces with an endpoint at `address`, in the order of `services`. */
  servicesAt(address: string): readonly MeshService[];
  /** WorkloadEntries of `namespace` at `address`, oldest first. */
  workloadEntriesAt(address: string, namespace: string): readonly ResourceOfKind<'WorkloadEntry'>[];
  /** All resources of a kind as validated, oldest first, then by name, then namespace (Istio's tie order). */
  resources<Kind extends string>(kind: Kind): readonly ResourceOfKind<Kind>[];
  /** The keys of token issuers that were fetched. */
  readonly keySets: KeySets;
  /** The routes of all kinds that have a reader, in the same order. */
  readonly routes: readonly RouteForm[];
  /**
   * Services of both views whose endpoints, or whose neighbours at the addresses of their endpoints, changed since
   * `earlier`; undefined: it is too long ago, or of another mesh.
   */
  endpointsChangedSince(earlier: MeshView): readonly MeshService[] | undefined;
}
