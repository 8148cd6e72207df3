/** DestinationRule traffic policy -> cluster settings: connection pool, outlier detection, load balancer. */
import type { Cluster, OutlierDetection } from '../../../shared/xds/cluster.ts';
import { type Fields, fields, numeric } from '../../mesh/fields.ts';
import { isHttp2 } from '../../mesh/protocol.ts';
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
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Applies `policy` to `cluster`. `note` takes what is written there and not supported yet. */
export function applyTrafficPolicy(
  cluster: Cluster,
  policy: Fields,
  port: ServicePort,
  note: (message: string) => void,
): void {
  const pool = fields(policy['connectionPool']);
  const tcp = fields(pool['tcp']);
  const http = fields(pool['http']);
  cluster.circuitBreakers = { thresholds: [{ ...threshold(tcp, http), ...retryBudget(policy) }] };
  const connectTimeout = protoDuration(tcp['connectTimeout']);
  if (connectTimeout) cluster.connectTimeout = connectTimeout;
  const keepalive = tcp['tcpKeepalive'] === undefined ? undefined : keepaliveOf(fields(tcp['tcpKeepalive']));
  if (keepalive) cluster.upstreamConnectionOptions = { tcpKeepalive: keepalive };
  const options = httpOptions(tcp, http, port);
  if (options) cluster.typedExtensionProtocolOptions = options;
  if (policy['outlierDetection'] !== undefined) applyOutlier(cluster, fields(policy['outlierDetection']));
  applyLoadBalancer(cluster, fields(policy['loadBalancer']));
  if (policy['tunnel'] !== undefined) note(`${cluster.name}: trafficPolicy.tunnel is not supported`);
  if (policy['proxyProtocol'] !== undefined) note(`${cluster.name}: trafficPolicy.proxyProtocol is not supported`);
}

function threshold(tcp: Fields, http: Fields) {
  return {
    maxConnections: numeric(tcp['maxConnections']) || UNLIMITED,
    maxPendingRequests: numeric(http['http1MaxPendingRequests']) || UNLIMITED,
    maxRequests: numeric(http['http2MaxRequests']) || UNLIMITED,
    maxRetries: numeric(http['maxRetries']) || UNLIMITED,
  };
}

function retryBudget(policy: Fields) {
  if (policy['retryBudget'] === undefined) return {};
  const budget = fields(policy['retryBudget']);
  const value = typeof budget['percent'] === 'number' ? budget['percent'] : 20;
  const minRetryConcurrency = numeric(budget['minRetryConcurrency']) ?? 3;
  return { retryBudget: { budgetPercent: { value }, minRetryConcurrency } };
}

/** TcpKeepalive of a DestinationRule or MeshConfig as Envoy has it, in whole seconds. */
export function keepaliveOf(keepalive: Fields) {
  const probes = numeric(keepalive['probes']);
  const time = wholeSeconds(keepalive['time']);
  const interval = wholeSeconds(keepalive['interval']);
  return {
    ...(probes && { keepaliveProbes: probes }),
    ...(time && { keepaliveTime: time }),
    ...(interval && { keepaliveInterval: interval }),
  };
}

function httpOptions(tcp: Fields, http: Fields, port: ServicePort): Cluster['typedExtensionProtocolOptions'] {
  const idleTimeout = protoDuration(http['idleTimeout']) ?? protoDuration(tcp['idleTimeout']);
  const maxConnectionDuration = protoDuration(tcp['maxConnectionDuration']);
  const maxRequestsPerConnection = numeric(http['maxRequestsPerConnection']);
  const common = {
    ...(idleTimeout && { idleTimeout }),
    ...(maxConnectionDuration && { maxConnectionDuration }),
    ...(maxRequestsPerConnection && { maxRequestsPerConnection }),
  };
  const http2 = isHttp2(port.protocol) || (http['h2UpgradePolicy'] === 'UPGRADE' && port.protocol === 'HTTP');
  const limit = numeric(http['maxConcurrentStreams']);
  const http2ProtocolOptions = limit ? { maxConcurrentStreams: limit } : {};
  const hasCommon = Object.keys(common).length > 0;
  if (http['useClientProtocol'] !== true && !http2 && !hasCommon) return undefined;
  return {
    [HTTP_OPTIONS]: {
      '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
      ...(hasCommon && { commonHttpProtocolOptions: common }),
      ...(http['useClientProtocol'] === true
        ? { useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions } }
        : { explicitHttpConfig: http2 ? { http2ProtocolOptions } : { httpProtocolOptions: {} } }),
    },
  };
}

/** Success-rate ejection is off in a mesh; what a count of 0 switches off is not enforced. */
function applyOutlier(cluster: Cluster, outlier: Fields): void {
  const result: OutlierDetection = { enforcingSuccessRate: 0 };
  const consecutive5xx = numeric(outlier['consecutive5xxErrors']);
  if (consecutive5xx !== undefined) {
    result.consecutive5xx = consecutive5xx;
    result.enforcingConsecutive5xx = consecutive5xx > 0 ? 100 : 0;
  }
  const gateway = numeric(outlier['consecutiveGatewayErrors']) ?? (numeric(outlier['consecutiveErrors']) || undefined);
  if (gateway !== undefined) {
    result.consecutiveGatewayFailure = gateway;
    result.enforcingConsecutiveGatewayFailure = gateway > 0 ? 100 : 0;
  }
  const interval = protoDuration(outlier['interval']);
  if (interval) result.interval = interval;
  const baseEjectionTime = protoDuration(outlier['baseEjectionTime']);
  if (baseEjectionTime) result.baseEjectionTime = baseEjectionTime;
  const percent = numeric(outlier['maxEjectionPercent']);
  if (percent) result.maxEjectionPercent = percent;
  if (outlier['splitExternalLocalOriginErrors'] === true) {
    result.splitExternalLocalOriginErrors = true;
    result.enforcingLocalOriginSuccessRate = 0;
    const local = numeric(outlier['consecutiveLocalOriginFailures']);
    if (local) {
      result.consecutiveLocalOriginFailure = local;
      result.enforcingConsecutiveLocalOriginFailure = 100;
    }
  }
  cluster.outlierDetection = result;
  const healthy = numeric(outlier['minHealthPercent']);
  cluster.commonLbConfig = { healthyPanicThreshold: healthy ? { value: healthy } : {} };
}

function applyLoadBalancer(cluster: Cluster, balancer: Fields): void {
  if (balancer['consistentHash'] !== undefined) {
    applyConsistentHash(cluster, fields(balancer['consistentHash']));
    return;
  }
  switch (balancer['simple']) {
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
function applyWarmup(cluster: Cluster, balancer: Fields): void {
  const warmup = fields(balancer['warmup']);
  const slowStartWindow = protoDuration(warmup['duration']) ?? protoDuration(balancer['warmupDurationSecs']);
  if (!slowStartWindow) return;
  const aggression = typeof warmup['aggression'] === 'number' ? warmup['aggression'] : 1;
  const minimum = numeric(warmup['minimumPercent']) ?? 10;
  const slowStartConfig = {
    slowStartWindow,
    aggression: { defaultValue: aggression, runtimeKey: 'upstream.slow_start_aggression' },
    minWeightPercent: { value: minimum },
  };
  if (cluster.lbPolicy === 'ROUND_ROBIN') cluster.roundRobinLbConfig = { slowStartConfig };
  else if (cluster.lbPolicy === 'LEAST_REQUEST') cluster.leastRequestLbConfig = { slowStartConfig };
}
