/** The schema of DestinationRule's spec, field for field (istio.io/latest/docs/reference/config/networking/destination-rule). */
import type { z } from 'zod';
import { ConnectionPool, PolicySelector, PortSelector } from './common.ts';
import {
  atMostOne,
  bool,
  duration,
  integer,
  list,
  map,
  nullable,
  number,
  object,
  oneOfNames,
  string,
} from './vocabulary.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });
const uint64 = () => integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

export const BackendUtilization = object({
  errorUtilizationPenaltyPercent: uint32().describe(
    'How much errors raise the reported utilization: the rate of errors times this percentage is added.',
  ),
  metricNamesForComputingUtilization: list(string()).describe(
    'Reported metrics used as utilization: the highest counts. Default: the application utilization, else that of the CPU.',
  ),
  weightExpirationPeriod: string().describe(
    'An endpoint without report for this long loses its weight. Default: 180s.',
  ),
  weightStabilizationPeriod: string().describe(
    'How long an endpoint must have reported before its weight is used. Default: 10s.',
  ),
  weightUpdatePeriod: string().describe('How often weights are recomputed. Default: 1s.'),
});
export type BackendUtilization = z.infer<typeof BackendUtilization>;

export const Attribute = object(
  {
    name: string().describe('Name of the attribute, as SameSite.'),
    value: string().describe('Its value; without one the name is sent alone.'),
  },
  ['name'],
);
export type Attribute = z.infer<typeof Attribute>;

export const HttpCookie = object(
  {
    attributes: list(Attribute).describe('Further attributes of the cookie that is made.'),
    name: string().describe('Name of the cookie.'),
    path: string().describe('Path of the cookie that is made. Default: none.'),
    ttl: string().describe(
      'Lifetime of the cookie that is made when the request has none; 0s is a session cookie. Default: no cookie is made.',
    ),
  },
  ['name'],
);
export type HttpCookie = z.infer<typeof HttpCookie>;

export const Maglev = object({
  tableSize: uint64().describe('Size of the table, a prime number up to 5000011. Default: 65537.'),
});
export type Maglev = z.infer<typeof Maglev>;

export const RingHash = object({
  minimumRingSize: uint64().describe('Points on the ring at least; more spread load more evenly. Default: 1024.'),
});
export type RingHash = z.infer<typeof RingHash>;

export const ConsistentHash = atMostOne(
  atMostOne(
    object({
      httpCookie: HttpCookie.describe('Hash of a cookie.'),
      httpHeaderName: string().describe('Hash of this request header.'),
      httpQueryParameterName: string().describe('Hash of this query parameter.'),
      maglev: Maglev.describe('Maglev hashing: faster to look up, moves more keys when endpoints change.'),
      minimumRingSize: uint64().describe('Deprecated: use ringHash.minimumRingSize.'),
      ringHash: RingHash.describe('Ring hashing (ketama). The default of the two.'),
      useSourceIp: bool().describe("Hash of the client's address. Default: false."),
    }),
    ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'],
  ),
  ['ringHash', 'maglev'],
);
export type ConsistentHash = z.infer<typeof ConsistentHash>;

const LOCALITY = 'as region/zone/subzone; * may replace the rest';

export const Distribute = object({
  from: string().describe(`Locality of the client, ${LOCALITY}.`),
  to: map(uint32()).describe('Percentage of its traffic by locality of the endpoints; together 100.'),
});
export type Distribute = z.infer<typeof Distribute>;

export const Failover = object({
  from: string().describe('Region of the client.'),
  to: string().describe('Region that traffic goes to when that of the client has no healthy endpoints.'),
});
export type Failover = z.infer<typeof Failover>;

const failoverPriority = () =>
  list(string()).describe(
    'Labels in order of weight (label, or label=value): the more of the first ones an endpoint shares with the client, the sooner it is chosen.',
  );

export const LocalityLbSetting = object({
  distribute: list(Distribute).describe(
    'Shares of traffic by locality. Only one of distribute, failover and failoverPriority may be set.',
  ),
  enabled: nullable(bool()).describe('Whether locality is used. Default: as in the mesh config, true there.'),
  failover: list(Failover).describe('Where traffic goes by region when the endpoints near the client are unhealthy.'),
  failoverPriority: failoverPriority(),
});
export type LocalityLbSetting = z.infer<typeof LocalityLbSetting>;

export const Warmup = object(
  {
    aggression: nullable(number({ min: 0 })).describe(
      'Curve of the growth: above 1 faster at the beginning. Default: 1.',
    ),
    duration: duration(1).describe('How long an endpoint that is new takes to its whole share of traffic.'),
    minimumPercent: nullable(number({ min: 0, max: 100 })).describe(
      'Share of its weight a new endpoint begins with. Default: 10.',
    ),
  },
  ['duration'],
);
export type Warmup = z.infer<typeof Warmup>;

export const ZoneAwareLbSetting = object({
  enabled: nullable(bool()).describe('Whether zone-aware routing is on. Default: false.'),
  failover: list(Failover).describe('Where traffic goes by region when the endpoints near the client are unhealthy.'),
  failoverPriority: failoverPriority(),
  minClusterSize: nullable(integer({ min: 1, max: 4294967295 })).describe(
    'Endpoints a service must have for its traffic to be kept in the zone. Default: 6.',
  ),
});
export type ZoneAwareLbSetting = z.infer<typeof ZoneAwareLbSetting>;

export const LoadBalancer = atMostOne(
  object({
    backendUtilization: BackendUtilization.describe(
      'Endpoints get traffic by the utilization they report themselves (ORCA).',
    ),
    consistentHash: ConsistentHash.describe('The same value of the request leads to the same endpoint.'),
    localityLbSetting: LocalityLbSetting.describe('Traffic by locality. Default: as in the mesh config.'),
    simple: oneOfNames(['UNSPECIFIED', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN', 'LEAST_REQUEST']).describe(
      'How an endpoint is chosen. LEAST_REQUEST: of two at random that with fewer requests under way (LEAST_CONN is its old name). PASSTHROUGH: the address the client wanted, without choice. Default: LEAST_REQUEST.',
    ),
    warmup: Warmup.describe(
      'New endpoints get their share of traffic little by little. For ROUND_ROBIN and LEAST_REQUEST.',
    ),
    warmupDurationSecs: duration(1).describe('Deprecated: use warmup.duration.'),
    zoneAwareLbSetting: ZoneAwareLbSetting.describe(
      "Traffic stays in the client's zone as far as the zones are of like size. Cannot be combined with localityLbSetting.",
    ),
  }),
  ['simple', 'consistentHash', 'backendUtilization'],
);
export type LoadBalancer = z.infer<typeof LoadBalancer>;

export const OutlierDetection = object({
  baseEjectionTime: duration(1).describe(
    'Ejection time of an endpoint, times the number of its ejections. Default: 30s.',
  ),
  consecutive5xxErrors: nullable(uint32()).describe(
    'So many 5xx answers (or failed connections) in a row eject an endpoint; 0 turns this off. Default: 5.',
  ),
  consecutiveErrors: integer().describe('Deprecated: use consecutiveGatewayErrors or consecutive5xxErrors.'),
  consecutiveGatewayErrors: nullable(uint32()).describe(
    'So many 502, 503 or 504 answers (or failed connections) in a row eject an endpoint; 0 turns this off. Default: 0.',
  ),
  consecutiveLocalOriginFailures: nullable(uint32()).describe(
    'So many failures of the connection itself in a row eject an endpoint; with splitExternalLocalOriginErrors. Default: 5.',
  ),
  interval: duration(1).describe('Time between two rounds in which endpoints come back. Default: 10s.'),
  maxEjectionPercent: integer().describe(
    'Endpoints that may be ejected at once, in percent; one always may. Default: 10.',
  ),
  minHealthPercent: integer().describe(
    'With fewer healthy endpoints than this percentage no ejection counts and all get traffic. Default: 0.',
  ),
  outlierDetectionHttpErrorCodes: list(integer({ min: 100, max: 599 })).describe(
    'Status codes that count as errors in place of 5xx. Default: none.',
  ),
  splitExternalLocalOriginErrors: bool().describe(
    'Count failures of the connection apart from error answers. Default: false.',
  ),
});
export type OutlierDetection = z.infer<typeof OutlierDetection>;

export const ClientTls = object({
  caCertificates: string().describe(
    "File of CA certificates (PEM) that the server's is verified with. Default: the operating system's.",
  ),
  caCrl: string().describe('File of a certificate revocation list (PEM): a server certificate on it is refused.'),
  clientCertificate: string().describe("File of the client's certificate chain (PEM); for MUTUAL."),
  credentialName: string().describe(
    'Secret with certificate, key and CA certificate, for gateways and for sidecars with a workloadSelector. Instead of files.',
  ),
  insecureSkipVerify: nullable(bool()).describe('Take any server certificate. Default: false.'),
  mode: oneOfNames(['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL']).describe(
    'DISABLE: no TLS. SIMPLE: TLS to the destination. MUTUAL: with the client certificate given. ISTIO_MUTUAL: with that of the mesh. Default: DISABLE.',
  ),
  privateKey: string().describe("File of the client's private key (PEM); for MUTUAL."),
  sni: string().describe('SNI sent to the server. Default: the host of the request with SIMPLE and MUTUAL.'),
  subjectAltNames: list(string()).describe(
    "The server's certificate must have one of these names. Default: those of the ServiceEntry, else the host of the request.",
  ),
});
export type ClientTls = z.infer<typeof ClientTls>;

/** The parts of a traffic policy that a single port may have of its own. */
const portPolicy = {
  connectionPool: ConnectionPool.describe('Limits on connections and requests to the destination.'),
  loadBalancer: LoadBalancer.describe('How an endpoint is chosen.'),
  outlierDetection: OutlierDetection.describe('Endpoints that fail are left out for a time. Default: off.'),
  tls: ClientTls.describe('TLS to the destination. Default: mTLS where the destination speaks it.'),
};

export const PortLevelSetting = object({
  ...portPolicy,
  port: PortSelector.describe('Port of the service these settings are for.'),
});
export type PortLevelSetting = z.infer<typeof PortLevelSetting>;

export const ProxyProtocol = object({
  version: oneOfNames(['V1', 'V2']).describe('Version of the PROXY protocol. Default: V1.'),
});
export type ProxyProtocol = z.infer<typeof ProxyProtocol>;

export const RetryBudget = object({
  budgetInterval: string().describe('Time over which requests are counted for the budget. Default: 0ms.'),
  minRetryConcurrency: uint32().describe('Retries that may always be under way at once. Default: 3.'),
  percent: nullable(number({ min: 0, max: 100 })).describe(
    'Retries under way at once, as a percentage of the requests under way. Default: 20.',
  ),
});
export type RetryBudget = z.infer<typeof RetryBudget>;

export const Tunnel = object(
  {
    protocol: string().describe('CONNECT, or POST. Default: CONNECT.'),
    targetHost: string().describe('Host the tunnel leads to.'),
    targetPort: uint32().describe('Port the tunnel leads to.'),
  },
  ['targetHost', 'targetPort'],
);
export type Tunnel = z.infer<typeof Tunnel>;

export const TrafficPolicy = object({
  ...portPolicy,
  portLevelSettings: list(PortLevelSetting, { max: 4096 }).describe(
    'Settings for single ports. They replace those above whole; what they leave out has its default.',
  ),
  proxyProtocol: ProxyProtocol.describe('Send a PROXY protocol header ahead of each connection. Default: off.'),
  retryBudget: RetryBudget.describe(
    'A limit for retries that grows with traffic, in place of connectionPool.http.maxRetries.',
  ),
  tunnel: Tunnel.describe('TCP and TLS traffic is sent through an HTTP proxy, the destination. Default: off.'),
});
export type TrafficPolicy = z.infer<typeof TrafficPolicy>;

export const Subset = object(
  {
    labels: map(string()).describe('Labels the endpoints of the subset have. Default: all endpoints.'),
    name: string().describe('Name that routes call the subset by.'),
    trafficPolicy: TrafficPolicy.describe(
      'Settings for the subset; each part given replaces that of the rule. Default: those of the rule.',
    ),
  },
  ['name'],
);
export type Subset = z.infer<typeof Subset>;

export const DestinationRuleSpec = object(
  {
    exportTo: list(string().describe('A namespace, "." for the own one, or "*" for all.')).describe(
      'Namespaces that the rule is visible in. Default: all, or as in the mesh config.',
    ),
    host: string().describe(
      "Service the rule is for, as in the registry, wildcards allowed; a short name is completed with the rule's own namespace.",
    ),
    subsets: list(Subset).describe('Named parts of the service, as its versions, that routes send traffic to.'),
    trafficPolicy: TrafficPolicy.describe('Settings for traffic to the service, after routing.'),
    workloadSelector: PolicySelector.describe(
      'The client workloads of the namespace the rule is for, by labels. Default: all clients.',
    ),
  },
  ['host'],
);
export type DestinationRuleSpec = z.infer<typeof DestinationRuleSpec>;
