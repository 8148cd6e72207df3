/** Outbound clusters and their endpoints, and the clusters every proxy has. */
import type { Cluster, ClusterLoadAssignment } from '../../shared/xds/cluster.ts';
import type { Fields } from '../mesh/fields.ts';
import type { MeshService, ServicePort } from '../mesh/view.ts';
import type { CompileContext } from './context.ts';
import { type DestinationRule, type Subset, trafficPolicy } from './destination-rule.ts';
import { goDurationNs, protoDuration } from './durations.ts';
import { loadAssignment } from './endpoints.ts';
import { localitySetting, weighsLocalities } from './locality-lb.ts';
import { outboundCluster } from './names.ts';
import { ADS } from './tls-context.ts';
import { applyTrafficPolicy, keepaliveOf, UNLIMITED_THRESHOLD } from './traffic-policy.ts';
import { applyUpstreamTls } from './upstream-tls.ts';

export const BLACK_HOLE = 'BlackHoleCluster';
export const PASSTHROUGH = 'PassthroughCluster';
export const INBOUND_PASSTHROUGH = 'InboundPassthroughCluster';
const DYNAMIC_FORWARD_PROXY = 'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export interface Clusters {
  clusters: Cluster[];
  endpoints: ClusterLoadAssignment[];
}

export function connectTimeout(ctx: CompileContext): string {
  return ctx.view.settings.connectTimeout ?? '10s';
}

/** One cluster per service port, and one more per subset. */
export function outboundClusters(ctx: CompileContext): Clusters {
  const clusters: Cluster[] = [];
  const endpoints: ClusterLoadAssignment[] = [];
  for (const service of ctx.scope.services) {
    const rule = ctx.rules.for(service);
    for (const port of service.ports) {
      if (port.protocol === 'UDP') continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])]) {
        const built = outbound(ctx, service, port, rule, subset);
        clusters.push(built.cluster);
        if (built.assignment) endpoints.push(built.assignment);
      }
    }
  }
  return { clusters, endpoints };
}

function outbound(
  ctx: CompileContext,
  service: MeshService,
  port: ServicePort,
  rule: DestinationRule | undefined,
  subset: Subset | undefined,
): { cluster: Cluster; assignment?: ClusterLoadAssignment } {
  const name = outboundCluster(port.number, subset?.name, service.hostname);
  const policy: Fields = trafficPolicy(rule, port, subset);
  const cluster: Cluster = {
    name,
    altStatName: `${name};`,
    connectTimeout: connectTimeout(ctx),
    commonLbConfig: { healthyPanicThreshold: {} },
    metadata: { filterMetadata: { istio: istioMetadata(service, rule, subset) } },
  };
  setDiscovery(ctx, cluster, service);
  applyTrafficPolicy(cluster, policy, port, ctx.note);
  if (weighsLocalities(ctx.view.settings, policy))
    cluster.commonLbConfig = { ...cluster.commonLbConfig, localityWeightedLbConfig: {} };
  if (cluster.type === 'ORIGINAL_DST') cluster.lbPolicy = 'CLUSTER_PROVIDED';
  if (cluster.clusterType) providedByRequests(cluster);
  applyUpstreamTls(ctx, cluster, service, port, subset?.name, policy);
  if (cluster.type === 'ORIGINAL_DST' || cluster.clusterType) return { cluster };
  const options = {
    subsetLabels: subset?.labels ?? {},
    failover: cluster.outlierDetection !== undefined,
    locality: localitySetting(ctx.view.settings, policy),
  };
  const assignment = loadAssignment(ctx, name, service, port, options);
  if (cluster.type === 'EDS') return { cluster, assignment };
  cluster.loadAssignment = assignment;
  return { cluster };
}

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
function dnsRefreshRate(ctx: CompileContext): string {
  const { dnsRefreshRate: rate } = ctx.view.settings.config;
  return ((goDurationNs(rate) ?? 0) > 1e6 && protoDuration(rate)) || '60s';
}

function setDiscovery(ctx: CompileContext, cluster: Cluster, service: MeshService): void {
  switch (service.resolution) {
    case 'STATIC':
      cluster.type = 'EDS';
      cluster.edsClusterConfig = { edsConfig: ADS, serviceName: cluster.name };
      return;
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      cluster.type = service.resolution === 'DNS' ? 'STRICT_DNS' : 'LOGICAL_DNS';
      cluster.dnsLookupFamily = 'V4_ONLY';
      cluster.dnsRefreshRate = dnsRefreshRate(ctx);
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

/** MeshConfig.tcpKeepalive in every cluster that connects; what a DestinationRule sets of it stays. */
export function withMeshKeepalive(ctx: CompileContext, clusters: readonly Cluster[]): Cluster[] {
  const { tcpKeepalive: ofMesh } = ctx.view.settings.config;
  if (ofMesh === undefined) return [...clusters];
  return clusters.map((cluster) => {
    if (cluster.name === BLACK_HOLE) return cluster;
    const tcpKeepalive = { ...keepaliveOf(ofMesh), ...cluster.upstreamConnectionOptions?.tcpKeepalive };
    return { ...cluster, upstreamConnectionOptions: { ...cluster.upstreamConnectionOptions, tcpKeepalive } };
  });
}

/** BlackHoleCluster for all; the passthrough clusters for sidecars. */
export function standardClusters(ctx: CompileContext): Cluster[] {
  const timeout = connectTimeout(ctx);
  const blackHole: Cluster = { name: BLACK_HOLE, type: 'STATIC', connectTimeout: timeout };
  if (ctx.proxy.type === 'router') return [blackHole];
  const passthrough = (name: string): Cluster => ({
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
  });
  return [
    blackHole,
    passthrough(PASSTHROUGH),
    {
      ...passthrough(INBOUND_PASSTHROUGH),
      upstreamBindConfig: {
        sourceAddress: { address: ctx.proxy.ips[0]?.includes(':') ? '::6' : '127.0.0.6', portValue: 0 },
      },
    },
  ];
}
