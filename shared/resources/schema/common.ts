/** Parts that several kinds' schemas share. */
import type { z } from 'zod';
import { bool, duration, integer, list, map, object, oneOfNames, string } from './vocabulary.ts';

export const PortNumber = object(
  {
    number: integer({ min: 1, max: 65535 }),
  },
  ['number'],
);
export type PortNumber = z.infer<typeof PortNumber>;

export const TrafficSelector = object({
  mode: oneOfNames(['UNDEFINED', 'CLIENT', 'SERVER', 'CLIENT_AND_SERVER']),
  ports: list(PortNumber),
});
export type TrafficSelector = z.infer<typeof TrafficSelector>;

export const PolicySelector = object({
  matchLabels: map(string({ max: 63 }), 4096),
});
export type PolicySelector = z.infer<typeof PolicySelector>;

export const PolicyTargetReference = object(
  {
    group: string({ max: 253, pattern: /^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/ }),
    kind: string({ min: 1, max: 63, pattern: /^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/ }),
    name: string({ min: 1, max: 253 }),
    namespace: string(),
  },
  ['kind', 'name'],
);
export type PolicyTargetReference = z.infer<typeof PolicyTargetReference>;

export const EnvVar = object(
  {
    name: string({ min: 1, max: 256 }),
    value: string({ max: 2048 }),
    valueFrom: oneOfNames(['INLINE', 'HOST']),
  },
  ['name'],
);
export type EnvVar = z.infer<typeof EnvVar>;

export const VmConfig = object({
  env: list(EnvVar, { max: 256 }),
});
export type VmConfig = z.infer<typeof VmConfig>;

export const Http2KeepAlive = object({
  interval: duration(1),
  timeout: duration(1),
});
export type Http2KeepAlive = z.infer<typeof Http2KeepAlive>;

export const ConnectionPoolHttp = object({
  h2UpgradePolicy: oneOfNames(['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE']),
  http1MaxPendingRequests: integer(),
  http2KeepAlive: Http2KeepAlive,
  http2MaxRequests: integer(),
  idleTimeout: duration(1),
  maxConcurrentStreams: integer(),
  maxRequestsPerConnection: integer(),
  maxRetries: integer(),
  useClientProtocol: bool(),
});
export type ConnectionPoolHttp = z.infer<typeof ConnectionPoolHttp>;

export const TcpKeepalive = object({
  interval: duration(1),
  probes: integer({ min: 0, max: 4294967295 }),
  time: duration(1),
});
export type TcpKeepalive = z.infer<typeof TcpKeepalive>;

export const ConnectionPoolTcp = object({
  connectTimeout: duration(1),
  idleTimeout: string(),
  maxConnectionDuration: duration(1),
  maxConnections: integer(),
  tcpKeepalive: TcpKeepalive,
});
export type ConnectionPoolTcp = z.infer<typeof ConnectionPoolTcp>;

export const ConnectionPool = object({
  http: ConnectionPoolHttp,
  tcp: ConnectionPoolTcp,
});
export type ConnectionPool = z.infer<typeof ConnectionPool>;

export const PortSelector = object({
  number: integer({ min: 0, max: 4294967295 }),
});
export type PortSelector = z.infer<typeof PortSelector>;

export const SubFilter = object({
  name: string(),
});
export type SubFilter = z.infer<typeof SubFilter>;

export const WorkloadSelector = object({
  labels: map(string({ max: 63 }), 256),
});
export type WorkloadSelector = z.infer<typeof WorkloadSelector>;

export const TlsCertificate = object({
  caCertificates: string(),
  privateKey: string(),
  serverCertificate: string(),
});
export type TlsCertificate = z.infer<typeof TlsCertificate>;

export const ServerTls = object({
  caCertCredentialName: string(),
  caCertificates: string(),
  caCrl: string(),
  cipherSuites: list(string()),
  credentialName: string(),
  credentialNames: list(string(), { min: 1, max: 2 }),
  ecdhCurves: list(string()),
  httpsRedirect: bool(),
  insecureSkipVerify: bool(),
  maxProtocolVersion: oneOfNames(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3']),
  minProtocolVersion: oneOfNames(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3']),
  mode: oneOfNames(['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL']),
  privateKey: string(),
  serverCertificate: string(),
  subjectAltNames: list(string()),
  tlsCertificates: list(TlsCertificate, { min: 1, max: 2 }),
  verifyCertificateHash: list(string()),
  verifyCertificateSpki: list(string()),
});
export type ServerTls = z.infer<typeof ServerTls>;

export const WorkloadEntrySpec = object({
  address: string({ max: 256 }),
  labels: map(string(), 256),
  locality: string({ max: 2048 }),
  network: string({ max: 2048 }),
  ports: map(integer({ min: 0, max: 4294967295 }), 128),
  serviceAccount: string({ max: 253 }),
  weight: integer({ min: 0, max: 4294967295 }),
});
export type WorkloadEntrySpec = z.infer<typeof WorkloadEntrySpec>;

export const Destination = object(
  {
    host: string(),
    port: PortSelector,
    subset: string(),
  },
  ['host'],
);
export type Destination = z.infer<typeof Destination>;
