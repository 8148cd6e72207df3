/** The schema of DestinationRule's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { ConnectionPool, PolicySelector, PortSelector } from './common.ts';
import { atMostOne, bool, duration, integer, list, map, number, object, oneOfNames, string } from './vocabulary.ts';

export const BackendUtilization = object({
  errorUtilizationPenaltyPercent: integer({ min: 0, max: 4294967295 }),
  metricNamesForComputingUtilization: list(string()),
  weightExpirationPeriod: string(),
  weightStabilizationPeriod: string(),
  weightUpdatePeriod: string(),
});
export type BackendUtilization = z.infer<typeof BackendUtilization>;

export const Attribute = object(
  {
    name: string(),
    value: string(),
  },
  ['name'],
);
export type Attribute = z.infer<typeof Attribute>;

export const HttpCookie = object(
  {
    attributes: list(Attribute),
    name: string(),
    path: string(),
    ttl: string(),
  },
  ['name'],
);
export type HttpCookie = z.infer<typeof HttpCookie>;

export const Maglev = object({
  tableSize: integer({ min: 0 }),
});
export type Maglev = z.infer<typeof Maglev>;

export const RingHash = object({
  minimumRingSize: integer({ min: 0 }),
});
export type RingHash = z.infer<typeof RingHash>;

export const ConsistentHash = atMostOne(
  atMostOne(
    object({
      httpCookie: HttpCookie,
      httpHeaderName: string(),
      httpQueryParameterName: string(),
      maglev: Maglev,
      minimumRingSize: integer({ min: 0 }),
      ringHash: RingHash,
      useSourceIp: bool(),
    }),
    ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'],
  ),
  ['ringHash', 'maglev'],
);
export type ConsistentHash = z.infer<typeof ConsistentHash>;

export const Distribute = object({
  from: string(),
  to: map(integer({ min: 0, max: 4294967295 })),
});
export type Distribute = z.infer<typeof Distribute>;

export const Failover = object({
  from: string(),
  to: string(),
});
export type Failover = z.infer<typeof Failover>;

export const LocalityLbSetting = object({
  distribute: list(Distribute),
  enabled: bool(),
  failover: list(Failover),
  failoverPriority: list(string()),
});
export type LocalityLbSetting = z.infer<typeof LocalityLbSetting>;

export const Warmup = object(
  {
    aggression: number({ min: 0 }),
    duration: duration(1),
    minimumPercent: number({ min: 0, max: 100 }),
  },
  ['duration'],
);
export type Warmup = z.infer<typeof Warmup>;

export const ZoneAwareLbSetting = object({
  enabled: bool(),
  failover: list(Failover),
  failoverPriority: list(string()),
  minClusterSize: integer({ min: 1, max: 4294967295 }),
});
export type ZoneAwareLbSetting = z.infer<typeof ZoneAwareLbSetting>;

export const LoadBalancer = atMostOne(
  object({
    backendUtilization: BackendUtilization,
    consistentHash: ConsistentHash,
    localityLbSetting: LocalityLbSetting,
    simple: oneOfNames(['UNSPECIFIED', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN', 'LEAST_REQUEST']),
    warmup: Warmup,
    warmupDurationSecs: duration(1),
    zoneAwareLbSetting: ZoneAwareLbSetting,
  }),
  ['simple', 'consistentHash', 'backendUtilization'],
);
export type LoadBalancer = z.infer<typeof LoadBalancer>;

export const OutlierDetection = object({
  baseEjectionTime: duration(1),
  consecutive5xxErrors: integer({ min: 0, max: 4294967295 }),
  consecutiveErrors: integer(),
  consecutiveGatewayErrors: integer({ min: 0, max: 4294967295 }),
  consecutiveLocalOriginFailures: integer({ min: 0, max: 4294967295 }),
  interval: duration(1),
  maxEjectionPercent: integer(),
  minHealthPercent: integer(),
  outlierDetectionHttpErrorCodes: list(integer({ min: 100, max: 599 })),
  splitExternalLocalOriginErrors: bool(),
});
export type OutlierDetection = z.infer<typeof OutlierDetection>;

export const ClientTls = object({
  caCertificates: string(),
  caCrl: string(),
  clientCertificate: string(),
  credentialName: string(),
  insecureSkipVerify: bool(),
  mode: oneOfNames(['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL']),
  privateKey: string(),
  sni: string(),
  subjectAltNames: list(string()),
});
export type ClientTls = z.infer<typeof ClientTls>;

export const PortLevelSetting = object({
  connectionPool: ConnectionPool,
  loadBalancer: LoadBalancer,
  outlierDetection: OutlierDetection,
  port: PortSelector,
  tls: ClientTls,
});
export type PortLevelSetting = z.infer<typeof PortLevelSetting>;

export const ProxyProtocol = object({
  version: oneOfNames(['V1', 'V2']),
});
export type ProxyProtocol = z.infer<typeof ProxyProtocol>;

export const RetryBudget = object({
  budgetInterval: string(),
  minRetryConcurrency: integer({ min: 0, max: 4294967295 }),
  percent: number({ min: 0, max: 100 }),
});
export type RetryBudget = z.infer<typeof RetryBudget>;

export const Tunnel = object(
  {
    protocol: string(),
    targetHost: string(),
    targetPort: integer({ min: 0, max: 4294967295 }),
  },
  ['targetHost', 'targetPort'],
);
export type Tunnel = z.infer<typeof Tunnel>;

export const TrafficPolicy = object({
  connectionPool: ConnectionPool,
  loadBalancer: LoadBalancer,
  outlierDetection: OutlierDetection,
  portLevelSettings: list(PortLevelSetting, { max: 4096 }),
  proxyProtocol: ProxyProtocol,
  retryBudget: RetryBudget,
  tls: ClientTls,
  tunnel: Tunnel,
});
export type TrafficPolicy = z.infer<typeof TrafficPolicy>;

export const Subset = object(
  {
    labels: map(string()),
    name: string(),
    trafficPolicy: TrafficPolicy,
  },
  ['name'],
);
export type Subset = z.infer<typeof Subset>;

export const DestinationRuleSpec = object(
  {
    exportTo: list(string()),
    host: string(),
    subsets: list(Subset),
    trafficPolicy: TrafficPolicy,
    workloadSelector: PolicySelector,
  },
  ['host'],
);
export type DestinationRuleSpec = z.infer<typeof DestinationRuleSpec>;
