/**
 * MeshConfig: settings of the whole mesh (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1). It is YAML under
 * key `mesh` of ConfigMap `istio` in the root namespace; `mesh-config-read.ts` reads it, `checks/mesh-config.ts` judges it.
 */
import type { z } from 'zod';
import { ConnectionPool, TcpKeepalive } from '../schema/common.ts';
import { ClientTls, LocalityLbSetting, OutlierDetection } from '../schema/destination-rule.ts';
import { HttpRetry } from '../schema/virtual-service.ts';
import { atMostOne, bool, duration, integer, list, map, object, oneOfNames, string } from '../schema/vocabulary.ts';
import { ExtensionProvider } from './mesh-config-providers.ts';
import { MeshProxyConfig } from './mesh-config-proxy.ts';

const exportTo = (what: string) =>
  list(string()).describe(`Who sees ${what} that name no exportTo: namespaces, \`*\`, \`.\` or \`~\`. Default: *.`);

const LabelSelector = object({
  matchLabels: map(string()).describe('Labels that must all be there, with these very values.'),
  matchExpressions: list(
    object(
      {
        key: string().describe('The label.'),
        operator: oneOfNames(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How its value is compared.'),
        values: list(string()).describe('Values, with In and NotIn.'),
      },
      ['key', 'operator'],
    ),
  ).describe('Conditions that must all hold.'),
});

const TlsConfig = object({
  minProtocolVersion: oneOfNames(['TLS_AUTO', 'TLSV1_2', 'TLSV1_3']).describe('Lowest TLS version. Default: TLSV1_2.'),
  ecdhCurves: list(string()).describe('Curves of the key exchange.'),
  cipherSuites: list(string()).describe('Cipher suites of TLS 1.2.'),
});

const CertificateData = atMostOne(
  object({
    pem: string().describe('Certificates as PEM.'),
    spiffeBundleUrl: string().describe('Where the SPIFFE trust bundle is fetched.'),
    certSigners: list(string()).describe('Kubernetes signers whose certificates these roots verify.'),
    trustDomains: list(string()).describe('Trust domains of these roots.'),
  }),
  ['pem', 'spiffeBundleUrl'],
);

export const MeshConfig = object({
  proxyListenPort: integer().describe('Port of captured outbound traffic. Default: 15001.'),
  proxyInboundListenPort: integer().describe('Port of captured inbound traffic. Default: 15006.'),
  proxyHttpPort: integer().describe('Port of an HTTP proxy for applications; 0 is none. Default: 0.'),
  connectTimeout: duration().describe('How long connecting to an upstream may take. Default: 10s.'),
  protocolDetectionTimeout: duration().describe(
    'How long sniffing waits for first bytes; 0s is no limit. Default: 0s.',
  ),
  tcpKeepalive: TcpKeepalive.describe('TCP keepalive of upstream connections.'),
  ingressClass: string().describe('Class of Ingress resources that are served. Default: istio.'),
  ingressService: string().describe('Service of the ingress gateway. Default: istio-ingressgateway.'),
  ingressControllerMode: oneOfNames(['UNSPECIFIED', 'OFF', 'DEFAULT', 'STRICT']).describe(
    'Which Ingress resources are served: none (OFF), those of the class or of none (DEFAULT), those of the class (STRICT). Default: STRICT.',
  ),
  ingressSelector: string().describe('Label `istio` of the gateway that serves Ingress. Default: ingressgateway.'),
  enableTracing: bool().describe('Makes spans and request ids. Default: true.'),
  accessLogFile: string().describe('Where access logs are written; empty is nowhere.'),
  accessLogFormat: string().describe("Format of access logs, in Envoy's command operators."),
  accessLogEncoding: oneOfNames(['TEXT', 'JSON']).describe('How a line of the access log is written. Default: TEXT.'),
  enableEnvoyAccessLogService: bool().describe('Sends access logs over gRPC. Default: false.'),
  disableEnvoyListenerLog: bool().describe('No log of connections without a filter chain. Default: false.'),
  defaultConfig: MeshProxyConfig.describe('Settings of every proxy.'),
  outboundTrafficPolicy: object({
    mode: oneOfNames(['REGISTRY_ONLY', 'ALLOW_ANY', 'ALLOW_ANY_DYNAMIC_DNS']).describe(
      'REGISTRY_ONLY: it is dropped. ALLOW_ANY: it goes to the address the client wanted. ALLOW_ANY_DYNAMIC_DNS: the name of the request is looked up. Default: ALLOW_ANY.',
    ),
    tls: ClientTls.describe('TLS to unknown destinations, with ALLOW_ANY_DYNAMIC_DNS.'),
  }).describe('What happens to outbound traffic to unknown destinations. Default: ALLOW_ANY.'),
  inboundTrafficPolicy: object({
    mode: oneOfNames(['PASSTHROUGH', 'LOCALHOST']).describe(
      'PASSTHROUGH: that address. LOCALHOST: 127.0.0.1. Default: PASSTHROUGH.',
    ),
  }).describe('Where inbound traffic goes: the address it was sent to, or localhost. Default: PASSTHROUGH.'),
  configSources: list(
    object({
      address: string().describe('The source, as `host:port`, `fs:///folder` or `k8s://`.'),
      tlsSettings: ClientTls.describe('TLS to the source.'),
      subscribedResources: list(oneOfNames(['SERVICE_REGISTRY'])).describe(
        'What is read from it. Default: everything.',
      ),
    }),
  ).describe('Where resources come from. Not used here: resources are in the store of the control plane.'),
  enableAutoMtls: bool().describe('Clients use mTLS wherever the server can. Default: true.'),
  trustDomain: string().describe('The trust domain of identities. Default: cluster.local.'),
  trustDomainAliases: list(string()).describe('Other names of the trust domain.'),
  caCertificates: list(CertificateData).describe('Roots trusted beside those of the mesh.'),
  defaultServiceExportTo: exportTo('services'),
  defaultVirtualServiceExportTo: exportTo('virtual services'),
  defaultDestinationRuleExportTo: exportTo('destination rules'),
  rootNamespace: string().describe('Namespace of configuration for the whole mesh. Default: istio-system.'),
  localityLbSetting: LocalityLbSetting.describe('Load balancing by locality.'),
  dnsRefreshRate: duration().describe('How often names are resolved again. Default: 60s.'),
  h2UpgradePolicy: oneOfNames(['DO_NOT_UPGRADE', 'UPGRADE']).describe(
    'Whether requests to ports that declare HTTP are sent on as HTTP/2. Default: DO_NOT_UPGRADE.',
  ),
  inboundClusterStatName: string().describe('Pattern of the names of inbound clusters in metrics.'),
  outboundClusterStatName: string().describe('Pattern of the names of outbound clusters in metrics.'),
  certificates: list(
    object({
      secretName: string().describe('Secret the certificate is written to.'),
      dnsNames: list(string()).describe('Its DNS names.'),
    }),
  ).describe('Deprecated. Certificates made for other components.'),
  serviceSettings: list(
    object({
      settings: object({
        clusterLocal: bool().describe('Clients reach only endpoints of their own cluster. Default: false.'),
      }).describe('Settings of these services.'),
      hosts: list(string()).describe('The services, wildcards allowed.'),
    }),
  ).describe('Services whose endpoints stay in their cluster.'),
  serviceScopeConfigs: list(
    object({
      namespaceSelector: LabelSelector.describe('Namespaces of the services, by labels.'),
      servicesSelector: LabelSelector.describe('The services, by labels.'),
      scope: oneOfNames(['LOCAL', 'GLOBAL']).describe('GLOBAL: other clusters see them. Default: LOCAL.'),
    }),
  ).describe('Services that other clusters see.'),
  enablePrometheusMerge: bool().describe("The application's metrics are served with the proxy's. Default: true."),
  verifyCertificateAtClient: bool().describe('Deprecated.'),
  ca: object({
    address: string().describe('The authority, as `host:port`.'),
    tlsSettings: ClientTls.describe('TLS to the authority.'),
    requestTimeout: duration().describe('How long an answer may take. Default: 10s.'),
    istiodSide: bool().describe('The control plane calls it, not the proxies. Default: true.'),
  }).describe('An external certificate authority.'),
  extensionProviders: list(ExtensionProvider).describe('Authorizers, tracers, logs and metrics policies name.'),
  defaultProviders: object({
    tracing: list(string()).describe('Where spans go.'),
    metrics: list(string()).describe('Where metrics go.'),
    accessLogging: list(string()).describe('Where access logs go.'),
  }).describe('Providers used where a Telemetry names none.'),
  discoverySelectors: list(LabelSelector).describe('Namespaces that are watched; none named: all.'),
  pathNormalization: object({
    normalization: oneOfNames(['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']).describe(
      'BASE: as RFC 3986 has it, and \\ becomes /. MERGE_SLASHES: also several slashes become one. DECODE_AND_MERGE_SLASHES: also %2F and %5C are decoded. Default: BASE.',
    ),
  }).describe('How request paths are normalised before routing and policy. Default: BASE.'),
  defaultHttpRetryPolicy: HttpRetry.describe('Retries of routes that name none.'),
  // Its perTryTimeout is ignored, and judged by the checks, so that a wrong value gets both messages.
  defaultInboundHttpRetryPolicy: HttpRetry.extend({
    perTryTimeout: duration().describe('Not used for inbound traffic.').optional(),
  }).describe('Retries towards the local application.'),
  defaultTrafficPolicy: object({
    connectionPool: ConnectionPool.describe('Limits on connections and requests to the destination.'),
    outlierDetection: OutlierDetection.describe('Endpoints that fail are left out for a time.'),
  }).describe('Traffic policy of services whose DestinationRule names none.'),
  meshMTLS: TlsConfig.describe('TLS between workloads of the mesh.'),
  tlsDefaults: TlsConfig.describe('All other TLS.'),
  compliancePolicy: string().describe('Restricts all TLS, as `fips-140-2`.'),
});
export type MeshConfig = z.infer<typeof MeshConfig>;
