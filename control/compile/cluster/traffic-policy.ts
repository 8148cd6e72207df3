/** DestinationRule traffic policy -> cluster settings: connection pool, outlier detection, load balancer. */
import { isHttp, isHttp2 } from '../../../shared/match/protocol.ts';
import type { ConnectionPoolHttp, ConnectionPoolTcp, TcpKeepalive } from '../../../shared/resources/schema/common.ts';
import type {
  LoadBalancer,
  TrafficPolicy,
  OutlierDetection as WrittenOutlierDetection,
} from '../../../shared/resources/schema/destination-rule.ts';
import type { Cluster, ErrorMatcher, OutlierDetection } from '../../../shared/xds/cluster.ts';
import type { Http2ProtocolOptions } from '../../../shared/xds/core.ts';
import type { ServicePort } from '../../mesh/view.ts';
import { protoDuration, wholeSeconds } from '../durations.ts';
import { applyConsistentHash } from './consistent-hash.ts';

const UNLIMITED = 4294967295;
/** No limit but the proxy's own. */
export const UNLIMITED_THRESHOLD = {
  maxConnections: UNLIMITED,
  maxPendingRequests: UNLIMITED,
  maxRequests: UNLIMITED,
  maxRetries: UNLIMITED,
};
export const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** What decides, besides the port and its policy, about the protocol that is spoken to it. */
export interface ProtocolRules {
  /** MeshConfig.h2UpgradePolicy is UPGRADE. */
  readonly upgrades: boolean;
  /** The protocol of a port that declares none is found out from the traffic (sidecars). */
  readonly detects: boolean;
}

/** Applies `policy` to `cluster`. `note` takes what is written there and without effect. */
export function applyTrafficPolicy(
  cluster: Cluster,
  policy: TrafficPolicy,
  port: ServicePort,
  rules: ProtocolRules,
  note: (message: string) => void,
): void {
  const { tcp = {}, http = {} } = policy.connectionPool ?? {};
  cluster.circuitBreakers = { thresholds: [{ ...threshold(tcp, http), ...retryBudget(policy) }] };
  const connectTimeout = protoDuration(tcp.connectTimeout);
  if (connectTimeout) cluster.connectTimeout = connectTimeout;
  if (tcp.tcpKeepalive) cluster.upstreamConnectionOptions = { tcpKeepalive: keepaliveOf(tcp.tcpKeepalive) };
  const errors = errorMatcher(policy.outlierDetection?.outlierDetectionHttpErrorCodes ?? []);
  const options = httpOptions(tcp, http, upstreamProtocol(http, port, rules), errors);
  if (options) cluster.typedExtensionProtocolOptions = options;
  if (policy.outlierDetection) applyOutlier(cluster, policy.outlierDetection);
  applyLoadBalancer(cluster, policy.loadBalancer ?? {});
  if (policy.tunnel && isHttp(port.protocol))
    note('trafficPolicy.tunnel: is for TCP and TLS: requests of HTTP ports are sent without a tunnel');
}

function threshold(tcp: ConnectionPoolTcp, http: ConnectionPoolHttp) {
  return {
    maxConnections: tcp.maxConnections || UNLIMITED,
    maxPendingRequests: http.http1MaxPendingRequests || UNLIMITED,
    maxRequests: http.http2MaxRequests || UNLIMITED,
    maxRetries: http.maxRetries || UNLIMITED,
  };
}

function retryBudget({ retryBudget: budget }: TrafficPolicy) {
  if (!budget) return {};
  const { percent: value = 20, minRetryConcurrency = 3 } = budget;
  const budgetInterval = protoDuration(budget.budgetInterval);
  const considersMore = budgetInterval !== undefined && budgetInterval !== '0s';
  return { retryBudget: { budgetPercent: { value }, minRetryConcurrency, ...(considersMore && { budgetInterval }) } };
}

/** TcpKeepalive of a DestinationRule or MeshConfig as Envoy has it, in whole seconds. */
export function keepaliveOf({ probes, ...keepalive }: TcpKeepalive) {
  const time = wholeSeconds(keepalive.time);
  const interval = wholeSeconds(keepalive.interval);
  return {
    ...(probes && { keepaliveProbes: probes }),
    ...(time && { keepaliveTime: time }),
    ...(interval && { keepaliveInterval: interval }),
  };
}

function httpOptions(
  tcp: ConnectionPoolTcp,
  http: ConnectionPoolHttp,
  protocol: UpstreamProtocol,
  errors: ErrorMatcher | undefined,
): Cluster['typedExtensionProtocolOptions'] {
  const idleTimeout = protoDuration(http.idleTimeout) ?? protoDuration(tcp.idleTimeout);
  const maxConnectionDuration = protoDuration(tcp.maxConnectionDuration);
  const { maxRequestsPerConnection } = http;
  const common = {
    ...(idleTimeout && { idleTimeout }),
    ...(maxConnectionDuration && { maxConnectionDuration }),
    ...(maxRequestsPerConnection && { maxRequestsPerConnection }),
  };
  const hasCommon = Object.keys(common).length > 0;
  if (protocol === 'http1' && !hasCommon && !errors) return undefined;
  const http2ProtocolOptions = http2Options(http);
  return {
    [HTTP_OPTIONS]: {
      '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
      ...(hasCommon && { commonHttpProtocolOptions: common }),
      ...(errors && { outlierDetection: { errorMatcher: errors } }),
      ...(protocol === 'downstream' && {
        useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions },
      }),
      ...(protocol === 'http2' && { explicitHttpConfig: { http2ProtocolOptions } }),
      ...(protocol === 'http1' && { explicitHttpConfig: { httpProtocolOptions: {} } }),
    },
  };
}

/** The status codes that outlier detection counts as errors; undefined: 5xx. */
function errorMatcher(codes: readonly number[]): ErrorMatcher | undefined {
  const rules = [...new Set(codes)].map((code) => ({
    httpResponseHeadersMatch: { headers: [{ name: ':status', stringMatch: { exact: String(code) } }] },
  }));
  const [first, ...others] = rules;
  return first && others.length > 0 ? { orMatch: { rules } } : first;
}

function http2Options({ maxConcurrentStreams, http2KeepAlive }: ConnectionPoolHttp): Http2ProtocolOptions {
  const [interval, timeout] = [protoDuration(http2KeepAlive?.interval), protoDuration(http2KeepAlive?.timeout)];
  return {
    ...(maxConcurrentStreams && { maxConcurrentStreams }),
    ...(interval && timeout && { connectionKeepalive: { interval, timeout } }),
  };
}

/** `downstream`: the version of each request. */
export type UpstreamProtocol = 'http1' | 'http2' | 'downstream';

/**
 * What is spoken to a port, as istiod decides: `useClientProtocol` comes before an upgrade, the upgrade of a DestinationRule
 * before the mesh's, which is for ports that declare HTTP, and both before what the port declares.
 */
function upstreamProtocol(
  { useClientProtocol, h2UpgradePolicy }: ConnectionPoolHttp,
  port: ServicePort,
  { upgrades, detects }: ProtocolRules,
): UpstreamProtocol {
  if (useClientProtocol) return 'downstream';
  if (isHttp2(port.protocol) || h2UpgradePolicy === 'UPGRADE') return 'http2';
  if (upgrades && h2UpgradePolicy !== 'DO_NOT_UPGRADE' && isHttp(port.protocol)) return 'http2';
  return detects && port.protocol === 'UNSUPPORTED' ? 'downstream' : 'http1';
}

/** What the connections of a cluster speak, by its options. */
export function protocolOfCluster({ typedExtensionProtocolOptions: typed }: Cluster): UpstreamProtocol {
  const options = typed?.[HTTP_OPTIONS];
  if (options?.useDownstreamProtocolConfig) return 'downstream';
  return options?.explicitHttpConfig?.http2ProtocolOptions ? 'http2' : 'http1';
}

/** Success-rate ejection is off in a mesh; what a count of 0 switches off is not enforced. */
function applyOutlier(cluster: Cluster, outlier: WrittenOutlierDetection): void {
  const result: OutlierDetection = { enforcingSuccessRate: 0 };
  const consecutive5xx = outlier.consecutive5xxErrors;
  if (consecutive5xx !== undefined) {
    result.consecutive5xx = consecutive5xx;
    result.enforcingConsecutive5xx = consecutive5xx > 0 ? 100 : 0;
  }
  const gateway = outlier.consecutiveGatewayErrors ?? (outlier.consecutiveErrors || undefined);
  if (gateway !== undefined) {
    result.consecutiveGatewayFailure = gateway;
    result.enforcingConsecutiveGatewayFailure = gateway > 0 ? 100 : 0;
  }
  const interval = protoDuration(outlier.interval);
  if (interval) result.interval = interval;
  const baseEjectionTime = protoDuration(outlier.baseEjectionTime);
  if (baseEjectionTime) result.baseEjectionTime = baseEjectionTime;
  if (outlier.maxEjectionPercent) result.maxEjectionPercent = outlier.maxEjectionPercent;
  if (outlier.splitExternalLocalOriginErrors) {
    result.splitExternalLocalOriginErrors = true;
    result.enforcingLocalOriginSuccessRate = 0;
    const local = outlier.consecutiveLocalOriginFailures;
    if (local) {
      result.consecutiveLocalOriginFailure = local;
      result.enforcingConsecutiveLocalOriginFailure = 100;
    }
  }
  cluster.outlierDetection = result;
  const healthy = outlier.minHealthPercent;
  cluster.commonLbConfig = { healthyPanicThreshold: healthy ? { value: healthy } : {} };
}

function applyLoadBalancer(cluster: Cluster, balancer: LoadBalancer): void {
  if (balancer.consistentHash) {
    applyConsistentHash(cluster, balancer.consistentHash);
    return;
  }
  switch (balancer.simple) {
    case 'ROUND_ROBIN':
      cluster.lbPolicy = 'ROUND_ROBIN';
      break;
    case 'RANDOM':
      cluster.lbPolicy = 'RANDOM';
      break;
    case 'PASSTHROUGH':
      cluster.lbPolicy = 'CLUSTER_PROVIDED';
      cluster.type = 'ORIGINAL_DST';
      delete cluster.edsClusterConfig;
      break;
    default:
      cluster.lbPolicy = 'LEAST_REQUEST';
  }
  applyWarmup(cluster, balancer);
}

/** Slow start, which ROUND_ROBIN and LEAST_REQUEST know. */
function applyWarmup(cluster: Cluster, { warmup, warmupDurationSecs }: LoadBalancer): void {
  const slowStartWindow = protoDuration(warmup?.duration) ?? protoDuration(warmupDurationSecs);
  if (!slowStartWindow) return;
  const { aggression = 1, minimumPercent = 10 } = warmup ?? {};
  const slowStartConfig = {
    slowStartWindow,
    aggression: { defaultValue: aggression, runtimeKey: 'upstream.slow_start_aggression' },
    minWeightPercent: { value: minimumPercent },
  };
  if (cluster.lbPolicy === 'ROUND_ROBIN') cluster.roundRobinLbConfig = { slowStartConfig };
  else if (cluster.lbPolicy === 'LEAST_REQUEST') cluster.leastRequestLbConfig = { slowStartConfig };
}
