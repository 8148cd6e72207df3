/** What the fields of MeshConfig and MeshNetworks do. */
import { isIpAddress } from '../../match/cidr.ts';
import { unreadablePart } from '../../xds/access-log-format.ts';
import type { MeshConfig } from '../mesh-config/mesh-config.ts';
import type { MeshNetworks } from '../mesh-config/mesh-networks.ts';
import { parseDuration } from '../schema/vocabulary.ts';
import { type EffectOfValue, type Effects, type EffectsOf, IN_FORCE, REFUSED, withoutEffect } from './effects.ts';
import { providersWithoutEffect } from './providers.ts';
import { PROXY_CONFIG_EFFECTS } from './proxy-config.ts';

const ONE_APPLICATION = 'has no effect: a proxy has one application';
const NO_INGRESS = 'has no effect: Ingress resources are not served; use a Gateway';
const ONE_CLUSTER = 'has no effect yet: the mesh has one cluster';

/** Files that a proxy writes its access log to; '' is none. */
const LOG_FILES: ReadonlySet<unknown> = new Set(['', '/dev/stdout', '/dev/stderr']);

/** Only `value` differs from what happens anyway. */
const unless =
  (value: unknown, reason: string): EffectOfValue =>
  (given) =>
    given === value ? undefined : reason;

export const MESH_CONFIG_EFFECTS: Effects = {
  proxyListenPort: IN_FORCE,
  proxyInboundListenPort: IN_FORCE,
  proxyHttpPort: IN_FORCE,
  connectTimeout: IN_FORCE,
  protocolDetectionTimeout: IN_FORCE,
  tcpKeepalive: { probes: IN_FORCE, time: IN_FORCE, interval: IN_FORCE },
  ingressClass: NO_INGRESS,
  ingressService: NO_INGRESS,
  ingressControllerMode: NO_INGRESS,
  ingressSelector: NO_INGRESS,
  enableTracing: IN_FORCE,
  accessLogFile: (file) =>
    LOG_FILES.has(file) ? undefined : 'is not written: proxies write to /dev/stdout or /dev/stderr only',
  accessLogFormat: (format) => {
    const part = unreadablePart(String(format));
    return part === undefined
      ? undefined
      : `has no effect: proxies cannot read ${part}; Istio's default format is used`;
  },
  accessLogEncoding: IN_FORCE,
  enableEnvoyAccessLogService: 'has no effect yet: access logs are not sent over gRPC',
  disableEnvoyListenerLog: IN_FORCE,
  defaultConfig: PROXY_CONFIG_EFFECTS,
  outboundTrafficPolicy: {
    mode: IN_FORCE,
    tls: {
      mode: IN_FORCE,
      clientCertificate: IN_FORCE,
      privateKey: IN_FORCE,
      caCertificates: IN_FORCE,
      caCrl: IN_FORCE,
      credentialName: 'has no effect: Secrets are sent to gateways only; name files',
      subjectAltNames: IN_FORCE,
      sni: IN_FORCE,
      insecureSkipVerify: IN_FORCE,
    },
  },
  inboundTrafficPolicy: { mode: IN_FORCE },
  configSources: 'has no effect: resources are in the store of the control plane',
  enableAutoMtls: IN_FORCE,
  trustDomain: IN_FORCE,
  trustDomainAliases: IN_FORCE,
  caCertificates: 'has no effect yet: only the roots of the mesh are trusted',
  defaultServiceExportTo: IN_FORCE,
  defaultVirtualServiceExportTo: IN_FORCE,
  defaultDestinationRuleExportTo: IN_FORCE,
  rootNamespace: IN_FORCE,
  localityLbSetting: {
    distribute: { from: IN_FORCE, to: IN_FORCE },
    failover: { from: IN_FORCE, to: IN_FORCE },
    failoverPriority: IN_FORCE,
    enabled: IN_FORCE,
  },
  // Envoy refuses what is shorter.
  dnsRefreshRate: (rate) =>
    (parseDuration(String(rate)) ?? 0) > 1 ? undefined : 'must be more than 1ms: it is ignored',
  h2UpgradePolicy: IN_FORCE,
  inboundClusterStatName: IN_FORCE,
  outboundClusterStatName: IN_FORCE,
  certificates: 'has no effect: use cert-manager or another issuer',
  serviceSettings: ONE_CLUSTER,
  serviceScopeConfigs: ONE_CLUSTER,
  enablePrometheusMerge: () =>
    "has no effect: it is for annotations of Pods, which are not read; scrape the application's metrics beside the proxy's",
  verifyCertificateAtClient: unless(true, 'has no effect: certificates are always verified'),
  ca: 'has no effect: the control plane signs certificates with its own authority',
  extensionProviders: providersWithoutEffect,
  defaultProviders: { tracing: IN_FORCE, metrics: IN_FORCE, accessLogging: IN_FORCE },
  discoverySelectors: {
    matchLabels: IN_FORCE,
    matchExpressions: { key: IN_FORCE, operator: IN_FORCE, values: IN_FORCE },
  },
  pathNormalization: { normalization: IN_FORCE },
  defaultHttpRetryPolicy: {
    attempts: IN_FORCE,
    perTryTimeout: IN_FORCE,
    retryOn: IN_FORCE,
    retryRemoteLocalities: IN_FORCE,
    retryIgnorePreviousHosts: IN_FORCE,
    backoff: IN_FORCE,
  },
  defaultInboundHttpRetryPolicy: {
    attempts: IN_FORCE,
    perTryTimeout: 'has no effect, as in Istio: it is not used for inbound requests',
    retryOn: IN_FORCE,
    retryRemoteLocalities: ONE_APPLICATION,
    retryIgnorePreviousHosts: ONE_APPLICATION,
    backoff: IN_FORCE,
  },
  defaultTrafficPolicy: IN_FORCE,
  meshMTLS: {
    minProtocolVersion: IN_FORCE,
    ecdhCurves: REFUSED,
    cipherSuites: IN_FORCE,
  },
  tlsDefaults: { minProtocolVersion: IN_FORCE, ecdhCurves: IN_FORCE, cipherSuites: IN_FORCE },
  compliancePolicy: (policy) =>
    policy === '' || policy === 'fips-140-2'
      ? undefined
      : 'has no effect: only fips-140-2 is supported, so that TLS is not restricted',
} satisfies Omit<EffectsOf<MeshConfig>, 'defaultConfig'> & { defaultConfig: Effects };

/** Of a network, which the map has by name; `address` is a value's. */
const gatewayAddress: EffectOfValue = (address) =>
  isIpAddress(String(address)) ? undefined : 'has no effect: must be an IP address; names of gateways are not resolved';

export const NETWORK_EFFECTS = {
  endpoints: {
    fromCidr: IN_FORCE,
    fromRegistry: 'has no effect: the mesh has one registry; name the network in the endpoint or by fromCidr',
  },
  gateways: {
    registryServiceName: IN_FORCE,
    address: gatewayAddress,
    port: IN_FORCE,
    locality: 'has no effect: endpoints keep their own locality behind a gateway',
  },
} satisfies Effects;

export const MESH_NETWORKS_EFFECTS: Effects = {
  networks: (networks) => {
    const found = Object.entries(networks as Record<string, object>).flatMap(([name, network]) =>
      withoutEffect(network, NETWORK_EFFECTS).map(({ path, message }) => `${name}.${path} ${message}`),
    );
    return found.length === 0 ? undefined : found.join('; ');
  },
} satisfies EffectsOf<MeshNetworks>;
