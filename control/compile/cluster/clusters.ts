/** Outbound clusters and their endpoints, and the clusters every proxy has. */
import type { ClientTls, TrafficPolicy } from '../../../shared/resources/schema/destination-rule.ts';
import type { Cluster, ClusterLoadAssignment } from '../../../shared/xds/cluster.ts';
import type { MeshEndpoint, MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { goDurationNs, protoDuration } from '../durations.ts';
import { generator } from '../memo.ts';
import { BLACK_HOLE, DYNAMIC_ANY, INBOUND_PASSTHROUGH, outboundCluster, PASSTHROUGH } from '../names.ts';
import type { Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import type { CredentialAccess } from '../scope/proxy.ts';
import type { MtlsModes } from '../security/peer-authentication.ts';
import { ADS, meshClientSocket, upstreamSocket } from '../security/tls-context.ts';
import { connectTimeout } from './connect-timeout.ts';
import { type DestinationRule, type Subset, trafficPolicy } from './destination-rule.ts';
import { assignmentOf, placedAssignment } from './endpoints.ts';
import { type LocalityLb, localitySetting, weighsLocalities } from './locality-lb.ts';
import type { NetworkView } from './network-view.ts';
import { applyProxyProtocol } from './proxy-protocol.ts';
import { statNameOf } from './stat-name.ts';
import { throughGateways } from './through-gateways.ts';
import { applyTrafficPolicy, keepaliveOf, UNLIMITED_THRESHOLD } from './traffic-policy.ts';
import { isBehindNat } from './tunnel-view.ts';
import { unreachedBehindNat } from './unreached.ts';
import { applyUpstreamTls, identitiesOf, originated, speaksMeshTls } from './upstream-tls.ts';
import { zoneConfig, zoneLocality, zoneSetting } from './zone-aware.ts';

const DYNAMIC_FORWARD_PROXY = 'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** What a caller's place in the mesh means for the endpoints it gets. */
export interface Caller {
  readonly clusterId: string;
  /** `region/zone/subzone`, '' unknown. */
  readonly locality: string;
  /** Its labels that failover priorities name, as `labelsKey` writes them. */
  readonly failoverLabels: string;
  /** Which endpoints it reaches directly, and by what the others. */
  readonly networks: NetworkView;
  readonly readsCredentials: CredentialAccess;
  /** The protocol of ports that declare none is found out from the traffic. */
  readonly detectsProtocols: boolean;
  /** Of the ALPN protocols of a TLS context it offers those that the connection speaks (Tulle's proxies); Envoy offers all. */
  readonly choosesAlpn: boolean;
  /** It knows the endpoints of its own service: without a setting its requests must not be divided by zone. */
  readonly selfDiscovers: boolean;
}

export interface ServiceClustersInput extends Caller {
  readonly endpoints: readonly MeshEndpoint[];
  /** See `neighboursOf`. */
  readonly neighbours: readonly MeshEndpoint[];
  readonly service: MeshService;
  readonly rule: DestinationRule | undefined;
  readonly settings: MeshSettings;
  readonly mtls: MtlsModes;
}

export interface ServiceClusters {
  readonly clusters: readonly Produced<'clusters'>[];
  readonly assignments: readonly Produced<'endpoints'>[];
  /** What of MeshConfig is without effect. */
  readonly notes: readonly string[];
  /** What of the DestinationRule is without effect. */
  readonly findings: readonly Finding[];
}

/** The clusters of one service, one a port and one more a subset, and their endpoints. */
export const serviceClusters = generator<ServiceClustersInput, ServiceClusters>(
  {
    endpoints: true,
    neighbours: true,
    service: true,
    rule: true,
    settings: true,
    mtls: true,
    readsCredentials: true,
    detectsProtocols: true,
    choosesAlpn: true,
    selfDiscovers: true,
    clusterId: true,
    locality: true,
    failoverLabels: true,
    networks: true,
  },
  (input) => {
    const { service, rule } = input;
    const clusters: Produced<'clusters'>[] = [];
    const assignments: Produced<'endpoints'>[] = [];
    const notes: string[] = [];
    const findings: Finding[] = [];
    for (const port of service.ports) {
      if (port.protocol === 'UDP') continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])]) {
        const built = outbound(input, port, subset);
        clusters.push(built.cluster);
        if (built.assignment) assignments.push(built.assignment);
        if (rule) findings.push(...policyFindings(built.notes, rule, subset));
        else notes.push(...built.notes);
        for (const message of built.unreached)
          findings.push({ about: service.resource, reason: 'EndpointUnreachable', message });
      }
    }
    return { clusters, assignments, notes, findings };
  },
);

/** @param notes field paths below the rule, or below the subset, with a sentence each */
export function policyFindings(
  notes: readonly string[],
  rule: DestinationRule,
  subset: Subset | undefined,
): readonly Finding[] {
  const about = subset?.trafficPolicy ? subset.resource : rule.resource;
  return notes.map((note) => ({ about, reason: 'FieldWithoutEffect', message: `spec.${note}` }));
}

function outbound(
  input: ServiceClustersInput,
  port: ServicePort,
  subset: Subset | undefined,
): {
  cluster: Produced<'clusters'>;
  assignment?: Produced<'endpoints'>;
  notes: readonly string[];
  unreached: readonly string[];
} {
  const { service, rule, settings, mtls, endpoints, neighbours, clusterId, locality, failoverLabels: labels } = input;
  const { detectsProtocols, choosesAlpn, selfDiscovers, networks } = input;
  const kind = shapeOf({ service, port, rule, subset, settings, detectsProtocols, selfDiscovers });
  const meshTls = speaksMeshTls(kind.policy.tls?.mode, service, settings);
  let unreached: readonly string[] = NO_NOTES;
  const assigned = (): ClusterLoadAssignment => {
    const clusterName = outboundCluster(port.number, subset?.name, service.hostname);
    const all = assignmentOf({ endpoints, neighbours, service, port, subset, mtls, clusterName, clusterId });
    const assignment = throughGateways({ assignment: all, networks, clusterId, meshTls });
    if (all.behindNat) unreached = unreachedBehindNat({ assignment: all, networks, meshTls });
    return placedAssignment({ assignment, ...kind.placement, clusterId, locality, labels });
  };
  const built = clusterOf({
    service,
    port,
    rule,
    subset,
    settings,
    detectsProtocols,
    choosesAlpn,
    selfDiscovers,
    // Of the endpoints a cluster reads what their names and abilities come to: others may come and go.
    identities: identitiesOf(settings, service, port, endpoints).join('\n'),
    allMtls: endpoints.length > 0 && endpoints.every((item) => item.mtls),
    readsCredentials: input.readsCredentials,
    assignment: kind.discovery === 'inline' ? assigned() : undefined,
  });
  const assignment = kind.discovery === 'eds' && assignmentProduced({ message: assigned(), service, port });
  if (kind.discovery === 'none' && endpoints.some(isBehindNat)) unreached = [NEEDS_STATIC];
  return { ...built, unreached, ...(assignment && { assignment }) };
}

const NO_NOTES: readonly string[] = Object.freeze([]);
const NEEDS_STATIC = 'workloads behind NAT are reached by the endpoints of a service alone, whose resolution is STATIC';

const assignmentProduced = generator<
  { message: ClusterLoadAssignment; service: MeshService; port: ServicePort },
  Produced<'endpoints'>
>({ message: true, service: true, port: true }, ({ message, service, port }) =>
  produced('endpoints', message, { side: 'outbound', service, port: port.number }),
);

interface ShapeInput {
  readonly service: MeshService;
  readonly port: ServicePort;
  readonly rule: DestinationRule | undefined;
  readonly subset: Subset | undefined;
  readonly settings: MeshSettings;
  readonly detectsProtocols: boolean;
  readonly selfDiscovers: boolean;
}

/** MeshConfig.outboundClusterStatName filled in; undefined: clusters are called by their names. */
function outboundStatName(
  { config }: Pick<MeshSettings, 'config'>,
  service: MeshService,
  port: ServicePort,
  subset: Subset | undefined,
): string | undefined {
  const pattern = config.outboundClusterStatName;
  return pattern ? statNameOf(pattern, service, port.name, port.number, { subset: subset?.name }) : undefined;
}

/** MeshConfig.defaultTrafficPolicy where no rule has the field. */
function withMeshPolicy({ config }: Pick<MeshSettings, 'config'>, policy: TrafficPolicy): TrafficPolicy {
  return config.defaultTrafficPolicy ? { ...config.defaultTrafficPolicy, ...policy } : policy;
}

/** A cluster without what depends on its endpoints. */
interface Shape {
  readonly cluster: Cluster;
  readonly policy: TrafficPolicy;
  /** Where its endpoints come from: discovery, the cluster itself, or each request. */
  readonly discovery: 'eds' | 'inline' | 'none';
  readonly placement: { readonly setting: LocalityLb | undefined; readonly failover: boolean };
  readonly notes: readonly string[];
}

const shapeOf = generator<ShapeInput, Shape>(
  { service: true, rule: true, port: true, subset: true, settings: true, detectsProtocols: true, selfDiscovers: true },
  ({ service, port, rule, subset, settings, detectsProtocols, selfDiscovers }) => {
    const name = outboundCluster(port.number, subset?.name, service.hostname);
    const notes: string[] = [];
    const policy = withMeshPolicy(settings, trafficPolicy(rule, port, subset));
    const cluster: Cluster = {
      name,
      altStatName: `${outboundStatName(settings, service, port, subset) ?? name};`,
      connectTimeout: connectTimeout(settings),
      commonLbConfig: { healthyPanicThreshold: {} },
      metadata: { filterMetadata: { istio: istioMetadata(service, rule, subset) } },
    };
    setDiscovery(cluster, service, settings);
    const rules = { upgrades: settings.config.h2UpgradePolicy === 'UPGRADE', detects: detectsProtocols };
    applyTrafficPolicy(cluster, policy, port, rules, (message) => notes.push(message));
    const zone = zoneSetting(policy);
    if (zone || (selfDiscovers && !weighsLocalities(settings, policy)))
      cluster.commonLbConfig = { ...cluster.commonLbConfig, zoneAwareLbConfig: zoneConfig(zone) };
    else if (weighsLocalities(settings, policy))
      cluster.commonLbConfig = { ...cluster.commonLbConfig, localityWeightedLbConfig: {} };
    if (cluster.type === 'ORIGINAL_DST') cluster.lbPolicy = 'CLUSTER_PROVIDED';
    if (cluster.clusterType) providedByRequests(cluster);
    const none = cluster.type === 'ORIGINAL_DST' || cluster.clusterType !== undefined;
    return {
      cluster,
      policy,
      discovery: none ? 'none' : cluster.type === 'EDS' ? 'eds' : 'inline',
      placement: {
        setting: zone ? zoneLocality(zone) : localitySetting(settings, policy),
        // By regions endpoints are always divided.
        failover: zone !== undefined || cluster.outlierDetection !== undefined,
      },
      notes,
    };
  },
);

interface ClusterInput extends ShapeInput {
  /** SPIFFE ids, one a line. */
  readonly identities: string;
  readonly allMtls: boolean;
  readonly readsCredentials: CredentialAccess;
  readonly choosesAlpn: boolean;
  readonly assignment: ClusterLoadAssignment | undefined;
}

const clusterOf = generator<ClusterInput, { cluster: Produced<'clusters'>; notes: readonly string[] }>(
  {
    service: true,
    rule: true,
    port: true,
    subset: true,
    settings: true,
    detectsProtocols: true,
    choosesAlpn: true,
    selfDiscovers: true,
    assignment: true,
    identities: true,
    allMtls: true,
    readsCredentials: true,
  },
  ({ assignment, identities, allMtls, readsCredentials, choosesAlpn, ...input }) => {
    const { service, port, subset, settings } = input;
    const shape = shapeOf(input);
    const cluster = { ...shape.cluster };
    const notes = [...shape.notes];
    applyUpstreamTls(cluster, {
      settings,
      service,
      port,
      subset: subset?.name,
      policy: shape.policy,
      identities: identities === '' ? [] : identities.split('\n'),
      allMtls,
      readsCredentials:
        readsCredentials === 'always' || (readsCredentials === 'selected' && input.rule?.selected === true),
      choosesAlpn,
      note: (message) => notes.push(message),
    });
    applyProxyProtocol(cluster, shape.policy.proxyProtocol);
    if (assignment) cluster.loadAssignment = assignment;
    withMeshKeepalive(settings, cluster);
    return { cluster: produced('clusters', cluster, { side: 'outbound', service, port: port.number }), notes };
  },
);

function istioMetadata(service: MeshService, rule: DestinationRule | undefined, subset: Subset | undefined) {
  const config = rule && `/apis/networking.istio.io/v1/namespaces/${rule.namespace}/destination-rule/${rule.name}`;
  return {
    ...(config && { config }),
    ...(service.external && { external: true }),
    services: [{ host: service.hostname, name: service.name, namespace: service.namespace }],
    ...(subset && { subset: subset.name }),
  };
}

/** The names a dynamic forward proxy has looked up, shared by its cluster and its filter. */
export function dnsCache(service: MeshService): { name: string; dnsLookupFamily: 'V4_ONLY' } {
  return { name: `${service.hostname}_dfp_dns_cache`, dnsLookupFamily: 'V4_ONLY' };
}

/** Settings of balancers mean nothing where each request names its endpoint. */
function providedByRequests(cluster: Cluster): void {
  cluster.lbPolicy = 'CLUSTER_PROVIDED';
  for (const field of [
    'type',
    'ringHashLbConfig',
    'maglevLbConfig',
    'roundRobinLbConfig',
    'leastRequestLbConfig',
  ] as const)
    delete cluster[field];
  delete cluster.edsClusterConfig;
  delete cluster.commonLbConfig;
}

/** MeshConfig.dnsRefreshRate; Envoy refuses one of 1 ms or less. */
function dnsRefreshRate({ config: { dnsRefreshRate: rate } }: MeshSettings): string {
  return ((goDurationNs(rate) ?? 0) > 1e6 && protoDuration(rate)) || '60s';
}

function setDiscovery(cluster: Cluster, service: MeshService, settings: MeshSettings): void {
  switch (service.resolution) {
    case 'STATIC':
      cluster.type = 'EDS';
      cluster.edsClusterConfig = { edsConfig: ADS, serviceName: cluster.name };
      return;
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      cluster.type = service.resolution === 'DNS' ? 'STRICT_DNS' : 'LOGICAL_DNS';
      cluster.dnsLookupFamily = 'V4_ONLY';
      cluster.dnsRefreshRate = dnsRefreshRate(settings);
      cluster.respectDnsTtl = true;
      return;
    case 'DYNAMIC_DNS':
      cluster.clusterType = {
        name: 'envoy.clusters.dynamic_forward_proxy',
        typedConfig: {
          '@type': `type.googleapis.com/${DYNAMIC_FORWARD_PROXY}`,
          dnsCacheConfig: dnsCache(service),
        },
      };
      return;
    case 'NONE':
      cluster.type = 'ORIGINAL_DST';
  }
}

/** MeshConfig.tcpKeepalive, as every cluster that connects has it; what a DestinationRule sets of it stays. */
export function withMeshKeepalive({ config }: Pick<MeshSettings, 'config'>, cluster: Cluster): Cluster {
  if (config.tcpKeepalive === undefined) return cluster;
  const tcpKeepalive = { ...keepaliveOf(config.tcpKeepalive), ...cluster.upstreamConnectionOptions?.tcpKeepalive };
  cluster.upstreamConnectionOptions = { ...cluster.upstreamConnectionOptions, tcpKeepalive };
  return cluster;
}

export interface StandardClustersInput {
  readonly settings: MeshSettings;
  /** Gateways pass nothing through. */
  readonly passthrough: boolean;
  readonly ipv6: boolean;
}

/** BlackHoleCluster for all; the passthrough clusters for sidecars. */
export const standardClusters = generator<StandardClustersInput, readonly Produced<'clusters'>[]>(
  { settings: true, passthrough: true, ipv6: true },
  ({ settings, passthrough, ipv6 }) => {
    const timeout = connectTimeout(settings);
    const blackHole: Cluster = { name: BLACK_HOLE, type: 'STATIC', connectTimeout: timeout };
    const outboundOnes = passthrough
      ? [blackHole, withMeshKeepalive(settings, passthroughCluster(PASSTHROUGH, timeout))]
      : [blackHole];
    const clusters = outboundOnes.map((cluster) => produced('clusters', cluster, { side: 'outbound' }));
    if (!passthrough) return clusters;
    const inbound: Cluster = {
      ...withMeshKeepalive(settings, passthroughCluster(INBOUND_PASSTHROUGH, timeout)),
      upstreamBindConfig: { sourceAddress: { address: ipv6 ? '::6' : '127.0.0.6', portValue: 0 } },
    };
    return [...clusters, produced('clusters', inbound, { side: 'inbound' })];
  },
);

/** V4_PREFERRED: most hosts have no route to IPv6. */
export const ANY_DNS_CACHE = { name: 'allow_any_dns_cache', dnsLookupFamily: 'V4_PREFERRED' } as const;

export interface AnyHostClusters {
  readonly clusters: readonly Produced<'clusters'>[];
  readonly notes: readonly string[];
}

/** Looks up the hosts of requests that no service has: of a sidecar with an HTTP proxy, or with ALLOW_ANY_DYNAMIC_DNS. */
export const dynamicAnyCluster = generator<{ settings: MeshSettings }, AnyHostClusters>(
  { settings: true },
  ({ settings }) => {
    const notes: string[] = [];
    const cluster: Cluster = {
      ...withMeshKeepalive(settings, passthroughCluster(DYNAMIC_ANY, connectTimeout(settings))),
      clusterType: {
        name: 'envoy.clusters.dynamic_forward_proxy',
        typedConfig: {
          '@type': `type.googleapis.com/${DYNAMIC_FORWARD_PROXY}`,
          dnsCacheConfig: ANY_DNS_CACHE,
          allowInsecureClusterOptions: true,
        },
      },
    };
    delete cluster.type;
    const note = (message: string) => void notes.push(message);
    const tls =
      settings.outboundTrafficPolicy === 'ALLOW_ANY_DYNAMIC_DNS' && settings.config.outboundTrafficPolicy?.tls;
    if (tls) applyAnyHostTls(cluster, tls, settings, note);
    return { clusters: [produced('clusters', cluster, { side: 'outbound' })], notes };
  },
);

function applyAnyHostTls(
  cluster: Cluster,
  tls: ClientTls,
  settings: MeshSettings,
  note: (message: string) => void,
): void {
  if (tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL')
    cluster.transportSocket = upstreamSocket(originated({ settings, readsCredentials: false, note }, cluster, tls));
  else if (tls.mode === 'ISTIO_MUTUAL') {
    const { trustDomain, trustDomainAliases = [] } = settings;
    const domains = [trustDomain, ...trustDomainAliases];
    cluster.transportSocket = meshClientSocket(
      tls.subjectAltNames ?? [],
      domains,
      tls.sni ?? '',
      ['istio'],
      settings.config,
    );
  }
}

function passthroughCluster(name: string, timeout: string): Cluster {
  return {
    name,
    type: 'ORIGINAL_DST',
    connectTimeout: timeout,
    lbPolicy: 'CLUSTER_PROVIDED',
    circuitBreakers: { thresholds: [UNLIMITED_THRESHOLD] },
    typedExtensionProtocolOptions: {
      [HTTP_OPTIONS]: {
        '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
        commonHttpProtocolOptions: { idleTimeout: '300s' },
        useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
      },
    },
  };
}
