/** Parts that several kinds' schemas share. */
import type { z } from 'zod';
import * as rules from './rules/rules.ts';
import {
  bool,
  duration,
  integer,
  list,
  listMap,
  map,
  nullable,
  object,
  oneOfNames,
  string,
  withRules,
} from './vocabulary.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const PortNumber = object(
  {
    number: integer({ min: 1, max: 65535 }).describe('The port, 1 to 65535.'),
  },
  ['number'],
);
export type PortNumber = z.infer<typeof PortNumber>;

export const TrafficSelector = object({
  mode: oneOfNames(['UNDEFINED', 'CLIENT', 'SERVER', 'CLIENT_AND_SERVER']).describe(
    "Which of a proxy's directions is meant: CLIENT is traffic leaving the workload, SERVER traffic coming to it. Default: CLIENT_AND_SERVER.",
  ),
  ports: listMap(PortNumber, ['number']).describe(
    'Ports meant: of the destination for outbound traffic, of the workload for inbound. Default: every port.',
  ),
});
export type TrafficSelector = z.infer<typeof TrafficSelector>;

/** Labels a policy selects workloads by, compared whole. */
const selectorLabels = withRules(
  map(withRules(string({ max: 63 }), rules.labelValueWildcard), 4096),
  rules.labelKeyWildcard,
  rules.labelKeyEmpty,
);

export const PolicySelector = object({
  matchLabels: selectorLabels.describe('Labels a workload must all have, with these very values.'),
});
export type PolicySelector = z.infer<typeof PolicySelector>;

/** How every policy selects its workloads. */
export const selector = PolicySelector.describe(
  'The workloads of the namespace it applies to, by labels. Default: all of the namespace, or of the whole mesh in the root namespace.',
);

export const PolicyTargetReference = object(
  {
    group: string({
      max: 253,
      pattern: /^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    }).describe('API group of the resource, empty for the core group, as gateway.networking.k8s.io.'),
    kind: string({ min: 1, max: 63, pattern: /^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/ }).describe(
      'Kind of the resource: Gateway, GatewayClass, Service or ServiceEntry.',
    ),
    name: string({ min: 1, max: 253 }).describe('Name of the resource.'),
    namespace: withRules(string(), rules.sameNamespace).describe(
      "Must be empty: the resource is looked for in the policy's own namespace.",
    ),
  },
  ['kind', 'name'],
);
export type PolicyTargetReference = z.infer<typeof PolicyTargetReference>;

export const targetRef = PolicyTargetReference.describe(
  'The one resource it applies to. Older form of targetRefs; cannot be combined with it or with selector.',
);
export const targetRefs = list(PolicyTargetReference, { max: 16 }).describe(
  'Resources it applies to, at most 16: gateways, services or service entries of the same namespace.',
);

export const EnvVar = withRules(
  object(
    {
      name: string({ min: 1, max: 256 }).describe('Name of the environment variable; each only once.'),
      value: string({ max: 2048 }).describe('Its value; only with valueFrom INLINE.'),
      valueFrom: oneOfNames(['INLINE', 'HOST']).describe(
        "Where the value comes from: INLINE is the field value, HOST the proxy's own environment. Default: INLINE.",
      ),
    },
    ['name'],
  ),
  rules.inlineValue,
);
export type EnvVar = z.infer<typeof EnvVar>;

export const VmConfig = object({
  env: listMap(EnvVar, ['name'], { max: 256 }).describe('Environment variables the plugin sees.'),
});
export type VmConfig = z.infer<typeof VmConfig>;

export const Http2KeepAlive = object({
  interval: duration(1).describe('How long a connection is quiet before a PING is sent.'),
  timeout: duration(1).describe('How long the answer to a PING is waited for; then the connection is closed.'),
});
export type Http2KeepAlive = z.infer<typeof Http2KeepAlive>;

export const ConnectionPoolHttp = object({
  h2UpgradePolicy: oneOfNames(['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE']).describe(
    'Whether HTTP/1.1 requests are sent on as HTTP/2. Default: DEFAULT, as in the mesh config.',
  ),
  http1MaxPendingRequests: integer().describe(
    'Requests that may wait for a connection; more are answered 503. Default: 4294967295.',
  ),
  http2KeepAlive: Http2KeepAlive.describe('PING frames that find dead HTTP/2 connections. Default: none are sent.'),
  http2MaxRequests: integer().describe(
    'Requests under way to the destination at once, with any HTTP version. Default: 4294967295.',
  ),
  idleTimeout: duration(1).describe('A connection without requests for this long is closed. Default: 1h.'),
  maxConcurrentStreams: integer().describe('Requests under way on one HTTP/2 connection at once. Default: 2147483647.'),
  maxRequestsPerConnection: integer().describe(
    'Requests after which a connection is closed; 1 turns keep-alive off, 0 is no limit. Default: 0.',
  ),
  maxRetries: integer().describe('Retries under way to the destination at once. Default: 4294967295.'),
  useClientProtocol: bool().describe(
    'Speak to the destination the HTTP version the client spoke; h2UpgradePolicy is then not used. Default: false.',
  ),
});
export type ConnectionPoolHttp = z.infer<typeof ConnectionPoolHttp>;

export const TcpKeepalive = object({
  interval: duration(1).describe("Time between probes. Default: the operating system's, 75s on Linux."),
  probes: uint32().describe(
    "Probes without answer after which the connection is dead. Default: the operating system's, 9 on Linux.",
  ),
  time: duration(1).describe("Quiet time before the first probe. Default: the operating system's, 2h on Linux."),
});
export type TcpKeepalive = z.infer<typeof TcpKeepalive>;

export const ConnectionPoolTcp = object({
  connectTimeout: duration(1).describe('Time to establish a connection in. Default: 10s.'),
  idleTimeout: string().describe(
    'A TCP connection on which nothing is sent for this long is closed; 0s: never. Default: 1h.',
  ),
  maxConnectionDuration: duration(1).describe('Longest life of a connection. Default: no limit.'),
  maxConnections: integer().describe('Connections to the destination at once, HTTP/1.1 and TCP. Default: 4294967295.'),
  tcpKeepalive: TcpKeepalive.describe('SO_KEEPALIVE on connections to the destination. Default: off.'),
});
export type ConnectionPoolTcp = z.infer<typeof ConnectionPoolTcp>;

export const ConnectionPool = object({
  http: ConnectionPoolHttp.describe('Limits for HTTP requests.'),
  tcp: ConnectionPoolTcp.describe('Limits for connections, HTTP and TCP.'),
});
export type ConnectionPool = z.infer<typeof ConnectionPool>;

export const PortSelector = object({
  number: uint32().describe('The port number.'),
});
export type PortSelector = z.infer<typeof PortSelector>;

export const SubFilter = object({
  name: string().describe('The name.'),
});
export type SubFilter = z.infer<typeof SubFilter>;

export const WorkloadSelector = object({
  labels: map(withRules(string({ max: 63 }), rules.labelValueWildcard), 256).describe(
    'Labels a workload must all have, with these very values.',
  ),
});
export type WorkloadSelector = z.infer<typeof WorkloadSelector>;

export const TlsCertificate = object({
  caCertificates: string().describe('File of CA certificates (PEM) that client certificates are verified with.'),
  privateKey: string().describe('File of the private key (PEM).'),
  serverCertificate: string().describe('File of the certificate chain (PEM).'),
});
export type TlsCertificate = z.infer<typeof TlsCertificate>;

const tlsVersion = () => oneOfNames(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3']);

export const ServerTls = withRules(
  object({
    caCertCredentialName: string().describe(
      'Secret with the CA certificate for client certificates (key ca.crt, or cacert), in place of the one of credentialName.',
    ),
    caCertificates: string().describe(
      'File of CA certificates (PEM) that client certificates are verified with; for MUTUAL and OPTIONAL_MUTUAL.',
    ),
    caCrl: string().describe('File of a certificate revocation list (PEM): a client certificate on it is refused.'),
    cipherSuites: list(string().describe('Name as OpenSSL has it, as ECDHE-RSA-AES128-GCM-SHA256.')).describe(
      "Cipher suites offered up to TLS 1.2. Default: the proxy's.",
    ),
    credentialName: string().describe(
      'Secret with key and certificate (kubernetes.io/tls, or keys key, cert, cacert), in the namespace of the gateway workload. Instead of files.',
    ),
    credentialNames: list(string().describe('Name of a Secret, as in credentialName.'), { min: 1, max: 2 }).describe(
      'As credentialName, for two certificates of different key types (RSA and ECDSA).',
    ),
    ecdhCurves: list(string().describe('Name of a curve, as X25519 or P-256.')).describe(
      "Curves for the key exchange, the preferred first. Default: the proxy's.",
    ),
    httpsRedirect: bool().describe('Answer plain HTTP requests with a 301 redirect to https. Default: false.'),
    insecureSkipVerify: nullable(bool()).describe(
      'With MUTUAL and OPTIONAL_MUTUAL: a client whose certificate does not verify is let in, as one without a name. Default: false.',
    ),
    maxProtocolVersion: tlsVersion().describe('Highest TLS version. Default: TLS_AUTO, which is 1.3.'),
    minProtocolVersion: tlsVersion().describe('Lowest TLS version. Default: TLS_AUTO, which is 1.2.'),
    mode: oneOfNames([
      'PASSTHROUGH',
      'SIMPLE',
      'MUTUAL',
      'AUTO_PASSTHROUGH',
      'ISTIO_MUTUAL',
      'OPTIONAL_MUTUAL',
    ]).describe(
      'PASSTHROUGH: TLS is routed by SNI, not terminated. SIMPLE: terminated, no client certificate. MUTUAL: client certificate required. OPTIONAL_MUTUAL: verified when given. ISTIO_MUTUAL: mutual with the mesh certificates. AUTO_PASSTHROUGH: as PASSTHROUGH, the SNI names service and port itself. Default: PASSTHROUGH.',
    ),
    privateKey: string().describe(
      "File of the server's private key (PEM); for SIMPLE and MUTUAL without credentialName.",
    ),
    serverCertificate: string().describe(
      "File of the server's certificate chain (PEM); for SIMPLE and MUTUAL without credentialName.",
    ),
    subjectAltNames: list(string().describe('A subject alternative name.')).describe(
      'A client certificate must have one of these names. Default: any that verifies.',
    ),
    tlsCertificates: list(TlsCertificate, { min: 1, max: 2 }).describe(
      'Certificates in files, one or two of different key types. Cannot be combined with credentialNames.',
    ),
    verifyCertificateHash: list(string().describe('SHA-256 in hex, with or without colons.')).describe(
      'SHA-256 hashes of the client certificates that are accepted. Default: any that verifies.',
    ),
    verifyCertificateSpki: list(string().describe('SHA-256 in base64.')).describe(
      'SHA-256 hashes of the public keys (SPKI) that are accepted. Default: any that verifies.',
    ),
  }),
  rules.namesOrCertificates,
  rules.nameOrNames,
);
export type ServerTls = z.infer<typeof ServerTls>;

/** Shared by WorkloadEntry and the template of WorkloadGroup, where an address is not required. */
const endpoint = object({
  address: withRules(string({ max: 256 }), rules.unixPath, rules.unixFile).describe(
    'IP address, or domain name with resolution DNS, or unix:///path or unix://@name for a socket. May be left out where network is set.',
  ),
  labels: map(string().describe('Value of the label.'), 256).describe(
    'Labels of the workload, which selectors and subsets match.',
  ),
  locality: string({ max: 2048 }).describe(
    'Where it runs, as region/zone/subzone, for locality-aware load balancing. Default: not known.',
  ),
  network: string({ max: 2048 }).describe(
    'Network the address belongs to; workloads of other networks come through its gateway. Default: one flat network.',
  ),
  ports: withRules(
    map(withRules(uint32(), rules.port).describe('The port, 1 to 65535.'), 128),
    rules.portNames,
  ).describe(
    "Port of the workload for each port of the service, by its name. Default: the service's own (target) port.",
  ),
  serviceAccount: string({ max: 253 }).describe('Service account of the workload, which makes its SPIFFE identity.'),
  weight: uint32().describe('Share of traffic relative to the other endpoints. Default: 1.'),
});

export const WorkloadTemplate = withRules(endpoint, rules.unixWithoutPorts);
export type WorkloadTemplate = z.infer<typeof WorkloadTemplate>;
export const WorkloadEntrySpec = withRules(WorkloadTemplate, rules.addressOrNetwork);
export type WorkloadEntrySpec = z.infer<typeof WorkloadEntrySpec>;

export const Destination = object(
  {
    host: string().describe(
      "Name of the service, as in the registry; a short name is completed with the rule's own namespace.",
    ),
    port: PortSelector.describe('Port of the service. May be left out where it has one port.'),
    subset: string().describe('Subset of the service, as a DestinationRule names it. Default: all endpoints.'),
  },
  ['host'],
);
export type Destination = z.infer<typeof Destination>;
