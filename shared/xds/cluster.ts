/** envoy.config.cluster.v3 and envoy.config.endpoint.v3. */
import type { z } from 'zod';
import {
  Address,
  ConfigSource,
  HeaderValueOption,
  Http2ProtocolOptions,
  Locality,
  Metadata,
  Percent,
  TcpKeepalive,
} from './core.ts';
import {
  any,
  bool,
  double,
  duration,
  enumeration,
  int64,
  list,
  map,
  message,
  messageRequiring,
  nonEmpty,
  string,
  struct,
  uint32,
} from './message.ts';
import { UpstreamTransportSocket } from './tls.ts';

export const LbEndpoint = message({
  endpoint: message({
    address: Address,
    hostname: string(),
    healthCheckConfig: message({ portValue: uint32(), hostname: string(), disableActiveHealthCheck: bool() }),
  }),
  healthStatus: enumeration(['UNKNOWN', 'HEALTHY', 'UNHEALTHY', 'DRAINING', 'TIMEOUT', 'DEGRADED']),
  metadata: Metadata,
  loadBalancingWeight: uint32(),
});
export type LbEndpoint = z.infer<typeof LbEndpoint>;
export const LocalityLbEndpoints = message({
  locality: Locality,
  lbEndpoints: list(LbEndpoint),
  loadBalancingWeight: uint32(),
  priority: uint32(),
});
export type LocalityLbEndpoints = z.infer<typeof LocalityLbEndpoints>;
export const ClusterLoadAssignment = messageRequiring(
  {
    clusterName: nonEmpty(),
    endpoints: list(LocalityLbEndpoints),
    policy: message({ overprovisioningFactor: uint32() }),
  },
  ['clusterName'],
);
export type ClusterLoadAssignment = z.infer<typeof ClusterLoadAssignment>;

const StatusMatch = messageRequiring(
  {
    headers: list(
      messageRequiring({ name: nonEmpty(), stringMatch: messageRequiring({ exact: nonEmpty() }, ['exact']) }, [
        'name',
        'stringMatch',
      ]),
    ),
  },
  ['headers'],
);
const OneStatus = messageRequiring({ httpResponseHeadersMatch: StatusMatch }, ['httpResponseHeadersMatch']);
/** Of envoy.config.common.matcher.v3.MatchPredicate what says a list of status codes. */
const ErrorMatcher = message({
  httpResponseHeadersMatch: StatusMatch,
  orMatch: messageRequiring({ rules: list(OneStatus) }, ['rules']),
});
export type ErrorMatcher = z.infer<typeof ErrorMatcher>;

/** Trailers pass where the listener has them: this adds nothing, see docs/differences-from-envoy.md. */
const Http1ProtocolOptions = message({ enableTrailers: bool() });
const ByVersion = message({ httpProtocolOptions: Http1ProtocolOptions, http2ProtocolOptions: Http2ProtocolOptions });
export const HttpProtocolOptions = message({
  commonHttpProtocolOptions: message({
    idleTimeout: duration(),
    maxConnectionDuration: duration(),
    maxRequestsPerConnection: uint32(),
    maxStreamDuration: duration(),
  }),
  upstreamHttpProtocolOptions: message({ autoSni: bool(), autoSanValidation: bool() }),
  /** Which responses are errors for outlier detection; absent: 5xx. */
  outlierDetection: message({ errorMatcher: ErrorMatcher }),
  explicitHttpConfig: ByVersion,
  useDownstreamProtocolConfig: ByVersion,
  autoConfig: ByVersion,
});
export type HttpProtocolOptions = z.infer<typeof HttpProtocolOptions>;

const Threshold = message({
  priority: enumeration(['DEFAULT', 'HIGH']),
  maxConnections: uint32(),
  maxPendingRequests: uint32(),
  maxRequests: uint32(),
  maxRetries: uint32(),
  trackRemaining: bool(),
  retryBudget: message({ budgetPercent: Percent, minRetryConcurrency: uint32(), budgetInterval: duration() }),
});
export const OutlierDetection = message({
  consecutive5xx: uint32(),
  interval: duration(),
  baseEjectionTime: duration(),
  maxEjectionTime: duration(),
  maxEjectionPercent: uint32(),
  enforcingConsecutive5xx: uint32(),
  enforcingSuccessRate: uint32(),
  enforcingFailurePercentage: uint32(),
  consecutiveGatewayFailure: uint32(),
  enforcingConsecutiveGatewayFailure: uint32(),
  splitExternalLocalOriginErrors: bool(),
  consecutiveLocalOriginFailure: uint32(),
  enforcingConsecutiveLocalOriginFailure: uint32(),
  enforcingLocalOriginSuccessRate: uint32(),
  successRateMinimumHosts: uint32(),
  successRateRequestVolume: uint32(),
  successRateStdevFactor: uint32(),
  failurePercentageThreshold: uint32(),
  failurePercentageMinimumHosts: uint32(),
  failurePercentageRequestVolume: uint32(),
  enforcingFailurePercentageLocalOrigin: uint32(),
  maxEjectionTimeJitter: duration(),
  alwaysEjectOneHost: bool(),
  successfulActiveHealthCheckUnejectHost: bool(),
});
export type OutlierDetection = z.infer<typeof OutlierDetection>;

const TransportSocketMatch = messageRequiring(
  { name: nonEmpty(), match: struct(), transportSocket: UpstreamTransportSocket },
  ['name', 'transportSocket'],
);

const RefreshRate = messageRequiring({ baseInterval: duration(), maxInterval: duration() }, ['baseInterval']);
const DnsLookupFamily = enumeration(['AUTO', 'V4_ONLY', 'V6_ONLY', 'V4_PREFERRED', 'ALL']);
/** envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig */
export const DnsCacheConfig = messageRequiring(
  {
    name: nonEmpty(),
    dnsLookupFamily: DnsLookupFamily,
    dnsRefreshRate: duration(),
    hostTtl: duration(),
    maxHosts: uint32(),
    dnsFailureRefreshRate: RefreshRate,
    dnsQueryTimeout: duration(),
  },
  ['name'],
);

const Payload = message({ text: nonEmpty(), binary: nonEmpty() });
const StatusRange = message({ start: int64(), end: int64() });
export const HealthCheck = messageRequiring(
  {
    timeout: duration(),
    interval: duration(),
    initialJitter: duration(),
    intervalJitter: duration(),
    intervalJitterPercent: uint32(),
    unhealthyThreshold: uint32(),
    healthyThreshold: uint32(),
    reuseConnection: bool(),
    httpHealthCheck: messageRequiring(
      {
        host: string(),
        path: nonEmpty(),
        requestHeadersToAdd: list(HeaderValueOption),
        requestHeadersToRemove: list(nonEmpty()),
        expectedStatuses: list(StatusRange),
        retriableStatuses: list(StatusRange),
        codecClientType: enumeration(['HTTP1', 'HTTP2']),
        method: enumeration([
          'METHOD_UNSPECIFIED',
          'GET',
          'HEAD',
          'POST',
          'PUT',
          'DELETE',
          'CONNECT',
          'OPTIONS',
          'TRACE',
          'PATCH',
        ]),
      },
      ['path'],
    ),
    tcpHealthCheck: message({ send: Payload, receive: list(Payload) }),
    grpcHealthCheck: message({
      serviceName: string(),
      authority: string(),
      initialMetadata: list(HeaderValueOption),
    }),
    tlsOptions: message({ alpnProtocols: list(nonEmpty()) }),
    transportSocketMatchCriteria: struct(),
    noTrafficInterval: duration(),
    noTrafficHealthyInterval: duration(),
    unhealthyInterval: duration(),
    unhealthyEdgeInterval: duration(),
    healthyEdgeInterval: duration(),
    alwaysLogHealthCheckFailures: bool(),
  },
  ['timeout', 'interval', 'unhealthyThreshold', 'healthyThreshold'],
);
export type HealthCheck = z.infer<typeof HealthCheck>;

const SlowStartConfig = message({
  slowStartWindow: duration(),
  aggression: message({ defaultValue: double(), runtimeKey: string() }),
  minWeightPercent: Percent,
});
export type SlowStartConfig = z.infer<typeof SlowStartConfig>;

export const Cluster = messageRequiring(
  {
    name: nonEmpty(),
    altStatName: string(),
    type: enumeration(['STATIC', 'STRICT_DNS', 'LOGICAL_DNS', 'EDS', 'ORIGINAL_DST']),
    edsClusterConfig: message({ edsConfig: ConfigSource, serviceName: string() }),
    connectTimeout: duration(),
    perConnectionBufferLimitBytes: uint32(),
    lbPolicy: enumeration(['ROUND_ROBIN', 'LEAST_REQUEST', 'RING_HASH', 'RANDOM', 'MAGLEV', 'CLUSTER_PROVIDED']),
    loadAssignment: ClusterLoadAssignment,
    circuitBreakers: message({ thresholds: list(Threshold) }),
    typedExtensionProtocolOptions: map(
      any({ 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': HttpProtocolOptions }),
    ),
    clusterType: messageRequiring(
      {
        name: nonEmpty(),
        typedConfig: any({
          'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig': messageRequiring(
            // The latter lifts a demand of Envoy's, which this proxy does not make: connections without TLS verify no name.
            { dnsCacheConfig: DnsCacheConfig, allowInsecureClusterOptions: bool() },
            ['dnsCacheConfig'],
          ),
        }),
      },
      ['name', 'typedConfig'],
    ),
    dnsRefreshRate: duration(),
    dnsFailureRefreshRate: RefreshRate,
    dnsJitter: duration(),
    respectDnsTtl: bool(),
    dnsLookupFamily: DnsLookupFamily,
    originalDstLbConfig: message({ useHttpHeader: bool(), httpHeaderName: string() }),
    outlierDetection: OutlierDetection,
    healthChecks: list(HealthCheck),
    commonLbConfig: message({
      healthyPanicThreshold: Percent,
      localityWeightedLbConfig: message({}),
      zoneAwareLbConfig: message({ routingEnabled: Percent, minClusterSize: int64(), failTrafficOnPanic: bool() }),
      consistentHashingLbConfig: message({ useHostnameForHashing: bool(), hashBalanceFactor: uint32() }),
    }),
    leastRequestLbConfig: message({
      choiceCount: uint32(),
      activeRequestBias: message({ defaultValue: double(), runtimeKey: string() }),
      slowStartConfig: SlowStartConfig,
    }),
    roundRobinLbConfig: message({ slowStartConfig: SlowStartConfig }),
    ringHashLbConfig: message({
      minimumRingSize: int64(),
      maximumRingSize: int64(),
      hashFunction: enumeration(['XX_HASH', 'MURMUR_HASH_2']),
    }),
    maglevLbConfig: message({ tableSize: int64() }),
    transportSocket: UpstreamTransportSocket,
    transportSocketMatches: list(TransportSocketMatch),
    upstreamBindConfig: message({ sourceAddress: message({ address: string(), portValue: uint32() }) }),
    upstreamConnectionOptions: message({ tcpKeepalive: TcpKeepalive }),
    metadata: Metadata,
  },
  ['name'],
);
export type Cluster = z.infer<typeof Cluster>;
