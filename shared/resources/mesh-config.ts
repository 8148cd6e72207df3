/**
 * MeshConfig: settings of the whole mesh (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1). It stands as YAML under
 * key `mesh` of ConfigMap `istio` in the root namespace; `mesh-config-read.ts` reads it, `checks/mesh-config.ts` judges it.
 */
import type { z } from 'zod';
import { ExtensionProvider } from './mesh-config-providers.ts';
import { MeshProxyConfig } from './mesh-config-proxy.ts';
import { ConnectionPool, TcpKeepalive } from './schema/common.ts';
import { ClientTls, LocalityLbSetting, OutlierDetection } from './schema/destination-rule.ts';
import { HttpRetry } from './schema/virtual-service.ts';
import { atMostOne, bool, duration, integer, list, map, object, oneOfNames, string } from './schema/vocabulary.ts';

const exportTo = (what: string) =>
  list(string()).describe(`Who sees ${what} that name no exportTo: namespaces, \`*\`, \`.\` or \`~\`. Default: *.`);

const LabelSelector = object({
  matchLabels: map(string()),
  matchExpressions: list(
    object({ key: string(), operator: oneOfNames(['In', 'NotIn', 'Exists', 'DoesNotExist']), values: list(string()) }, [
      'key',
      'operator',
    ]),
  ),
});

const TlsConfig = object({
  minProtocolVersion: oneOfNames(['TLS_AUTO', 'TLSV1_2', 'TLSV1_3']).describe('Default: TLSV1_2.'),
  ecdhCurves: list(string()).describe('Curves of the key exchange.'),
  cipherSuites: list(string()).describe('Cipher suites of TLS 1.2.'),
});

const CertificateData = atMostOne(
  object({
    pem: string().describe('Certificates as PEM.'),
    spiffeBundleUrl: string().describe('Where the SPIFFE trust bundle is fetched.'),
    certSigners: list(string()),
    trustDomains: list(string()).describe('Trust domains these roots stand for.'),
  }),
  ['pem', 'spiffeBundleUrl'],
);

export const MeshConfig = object({
  proxyListenPort: integer().describe('Port of captured outbound traffic. Default: 15001.'),
  proxyInboundListenPort: integer().describe('Port of captured inbound traffic. Default: 15006.'),
  proxyHttpPort: integer().describe('Port of an HTTP proxy for applications; 0 is none. Default: 0.'),
  connectTimeout: duration().describe('How long connecting to an upstream may take. Default: 10s.'),
  protocolDetectionTimeout: duration().describe(
    'How long sniffing waits for first bytes; 0s is for ever. Default: 0s.',
  ),
  tcpKeepalive: TcpKeepalive.describe('TCP keepalive of upstream connections.'),
  ingressClass: string().describe('Class of Ingress resources that are served. Default: istio.'),
  ingressService: string().describe('Service of the ingress gateway. Default: istio-ingressgateway.'),
  ingressControllerMode: oneOfNames(['UNSPECIFIED', 'OFF', 'DEFAULT', 'STRICT']).describe('Default: STRICT.'),
  ingressSelector: string().describe('Label `istio` of the gateway that serves Ingress. Default: ingressgateway.'),
  enableTracing: bool().describe('Makes spans and request ids. Default: true.'),
  accessLogFile: string().describe('Where access logs are written; empty is nowhere.'),
  accessLogFormat: string().describe("Format of access logs, in Envoy's command operators."),
  accessLogEncoding: oneOfNames(['TEXT', 'JSON']).describe('Default: TEXT.'),
  enableEnvoyAccessLogService: bool().describe('Sends access logs over gRPC. Default: false.'),
  disableEnvoyListenerLog: bool().describe('No log of connections without a filter chain. Default: false.'),
  defaultConfig: MeshProxyConfig.describe('Settings of every proxy.'),
  outboundTrafficPolicy: object({
    mode: oneOfNames(['REGISTRY_ONLY', 'ALLOW_ANY', 'ALLOW_ANY_DYNAMIC_DNS']),
    tls: ClientTls.describe('TLS to unknown destinations, with ALLOW_ANY_DYNAMIC_DNS.'),
  }).describe('What happens to outbound traffic whose destination nobody knows. Default: ALLOW_ANY.'),
  inboundTrafficPolicy: object({ mode: oneOfNames(['PASSTHROUGH', 'LOCALHOST']) }).describe(
    'Where inbound traffic goes: the address it was sent to, or localhost. Default: PASSTHROUGH.',
  ),
  configSources: list(
    object({
      address: string(),
      tlsSettings: ClientTls,
      subscribedResources: list(oneOfNames(['SERVICE_REGISTRY'])),
    }),
  ),
  enableAutoMtls: bool().describe('Clients use mTLS wherever the server can. Default: true.'),
  trustDomain: string().describe('The trust domain of identities. Default: cluster.local.'),
  trustDomainAliases: list(string()).describe('Other names of the trust domain.'),
  caCertificates: list(CertificateData).describe('Roots trusted beside those of the mesh.'),
  defaultServiceExportTo: exportTo('services'),
  defaultVirtualServiceExportTo: exportTo('virtual services'),
  defaultDestinationRuleExportTo: exportTo('destination rules'),
  rootNamespace: string().describe('Namespace of configuration for the whole mesh. Default: istio-system.'),
  localityLbSetting: LocalityLbSetting.describe('Load balancing by locality.'),
  dnsRefreshRate: duration().describe('How often names are resolved anew. Default: 60s.'),
  h2UpgradePolicy: oneOfNames(['DO_NOT_UPGRADE', 'UPGRADE']).describe('HTTP/1.1 goes as HTTP/2 inside the mesh.'),
  inboundClusterStatName: string().describe('Pattern of the names of inbound clusters in metrics.'),
  outboundClusterStatName: string().describe('Pattern of the names of outbound clusters in metrics.'),
  certificates: list(object({ secretName: string(), dnsNames: list(string()) })),
  serviceSettings: list(object({ settings: object({ clusterLocal: bool() }), hosts: list(string()) })).describe(
    'Services whose endpoints stay in their cluster.',
  ),
  serviceScopeConfigs: list(
    object({
      namespaceSelector: LabelSelector,
      servicesSelector: LabelSelector,
      scope: oneOfNames(['LOCAL', 'GLOBAL']),
    }),
  ).describe('Services that other clusters see.'),
  enablePrometheusMerge: bool().describe("The application's metrics are served with the proxy's. Default: true."),
  verifyCertificateAtClient: bool().describe('Deprecated.'),
  ca: object({
    address: string(),
    tlsSettings: ClientTls,
    requestTimeout: duration(),
    istiodSide: bool(),
  }).describe('An external certificate authority.'),
  extensionProviders: list(ExtensionProvider).describe('Authorizers, tracers, logs and metrics policies name.'),
  defaultProviders: object({
    tracing: list(string()),
    metrics: list(string()),
    accessLogging: list(string()),
  }).describe('Providers used where a Telemetry names none.'),
  discoverySelectors: list(LabelSelector).describe('Namespaces that are watched; none named: all.'),
  pathNormalization: object({
    normalization: oneOfNames(['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']),
  }).describe('How request paths are normalised before routing and policy. Default: BASE.'),
  defaultHttpRetryPolicy: HttpRetry.describe('Retries of routes that name none.'),
  // Its perTryTimeout is ignored, and judged by the checks, so that both is said of a wrong one.
  defaultInboundHttpRetryPolicy: HttpRetry.extend({ perTryTimeout: duration().optional() }).describe(
    'Retries towards the local application.',
  ),
  defaultTrafficPolicy: object({ connectionPool: ConnectionPool, outlierDetection: OutlierDetection }).describe(
    'Traffic policy of services whose DestinationRule names none.',
  ),
  meshMTLS: TlsConfig.describe('TLS between workloads of the mesh.'),
  tlsDefaults: TlsConfig.describe('All other TLS.'),
  compliancePolicy: string().describe('Restricts all TLS, as `fips-140-2`.'),
});
export type MeshConfig = z.infer<typeof MeshConfig>;
