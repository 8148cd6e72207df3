/** What the fields of MeshConfig's ProxyConfig do: under `defaultConfig`, and in annotation `proxy.istio.io/config`. */
import type { MeshProxyConfig } from '../mesh-config/mesh-config-proxy.ts';
import { type Effects, type EffectsOf, IN_FORCE } from './effects.ts';
import { hostWithoutEffect } from './probe.ts';

const ENVOY = 'has no effect: it configures the Envoy process';
const DEPLOYED = 'has no effect: give it to the proxy process where it is deployed';
const TRACING = 'has no effect yet: proxies make no spans';
const NAME_PROVIDER = 'has no effect: name an extension provider in Telemetry or in defaultProviders.tracing';

/** Of `proxyMetadata`: the proxy serves HTTP/1.0 where it is "1" or "true". */
export const HTTP10_METADATA = 'ISTIO_META_HTTP10';
/**
 * Of `proxyMetadata`, and Tulle's own: protocols that clients offer in Upgrade and that are ignored, by their beginnings, such
 * as `TLS/,h2c`. In Istio it takes an EnvoyFilter.
 */
export const IGNORED_UPGRADES_METADATA = 'TULLE_IGNORED_UPGRADES';
export const DENIAL_HEADER_METADATA = 'TULLE_DENIAL_HEADER';
/** The proxy is given the endpoints of its own service, which zone-aware routing needs. */
export const SELF_DISCOVERY_METADATA = 'ISTIO_META_ENABLE_SELF_DISCOVERY';
const IN_USE: ReadonlySet<string> = new Set([
  HTTP10_METADATA,
  IGNORED_UPGRADES_METADATA,
  DENIAL_HEADER_METADATA,
  SELF_DISCOVERY_METADATA,
]);

/** Of the environment of a proxy, names to values: why it has no effect, or a part of it; undefined: all of it is in force. */
export function proxyMetadataWithoutEffect(metadata: object): string | undefined {
  const others = Object.keys(metadata).filter((name) => !IN_USE.has(name));
  if (others.length === 0) return undefined;
  return `has no effect for ${others.join(', ')}: give them to the proxy process as its environment`;
}

export const PROXY_CONFIG_EFFECTS: Effects = {
  configPath: ENVOY,
  binaryPath: ENVOY,
  serviceCluster: TRACING,
  tracingServiceName: TRACING,
  drainDuration: IN_FORCE,
  parentShutdownDuration: 'has no effect, as in Istio: it is not used any more',
  discoveryAddress: 'has no effect: the proxy is started with the address of its control plane',
  discoveryRefreshDelay: 'has no effect, as in Istio: it is not used any more',
  zipkinAddress: TRACING,
  statsdUdpAddress: 'has no effect yet: metrics are fetched from the proxy',
  envoyMetricsServiceAddress: 'has no effect yet: metrics are fetched from the proxy',
  proxyAdminPort: 'has no effect: the proxy is started with its admin port',
  availabilityZone: 'has no effect, as in Istio: the locality is that of the workload',
  controlPlaneAuthPolicy: 'has no effect: proxies always prove their identity to the control plane',
  customConfigFile: ENVOY,
  statNameLength: ENVOY,
  concurrency: (value) => (Number(value) < 0 ? 'must be at least 0: it is ignored' : undefined),
  proxyBootstrapTemplatePath: ENVOY,
  interceptionMode: 'has no effect: a proxy names its mode in its node metadata',
  tracing: {
    sampling: IN_FORCE,
    zipkin: NAME_PROVIDER,
    lightstep: NAME_PROVIDER,
    datadog: NAME_PROVIDER,
    stackdriver: NAME_PROVIDER,
    openCensusAgent: NAME_PROVIDER,
    tlsSettings: NAME_PROVIDER,
    customTags: TRACING,
    maxPathTagLength: TRACING,
    enableIstioTags: TRACING,
  },
  sds: 'has no effect, as in Istio: it is not used any more',
  envoyAccessLogService: 'has no effect yet: access logs go to standard output',
  envoyMetricsService: 'has no effect yet: metrics are fetched from the proxy',
  proxyMetadata: (value) => proxyMetadataWithoutEffect(value as object),
  runtimeValues: ENVOY,
  statusPort: 'has no effect: the proxy is started with the port of its health checks',
  extraStatTags: 'has no effect: what Telemetry adds to metrics is a label of them without being listed',
  gatewayTopology: {
    numTrustedProxies: IN_FORCE,
    forwardClientCertDetails: IN_FORCE,
    proxyProtocol: 'has no effect yet: gateways do not read the PROXY protocol of clients',
  },
  terminationDrainDuration: IN_FORCE,
  meshId: 'has no effect yet: telemetry does not name the mesh',
  readinessProbe: {
    exec: { command: IN_FORCE },
    failureThreshold: IN_FORCE,
    grpc: { port: IN_FORCE, service: IN_FORCE },
    httpGet: {
      host: hostWithoutEffect,
      httpHeaders: { name: IN_FORCE, value: IN_FORCE },
      path: IN_FORCE,
      port: IN_FORCE,
      scheme: IN_FORCE,
    },
    initialDelaySeconds: IN_FORCE,
    periodSeconds: IN_FORCE,
    successThreshold: IN_FORCE,
    tcpSocket: { host: hostWithoutEffect, port: IN_FORCE },
    timeoutSeconds: IN_FORCE,
  },
  proxyStatsMatcher: 'has no effect: a proxy makes all of its metrics, so that none has to be included',
  holdApplicationUntilProxyStarts: DEPLOYED,
  caCertificatesPem: 'has no effect yet: only the roots of the mesh are trusted',
  image: 'has no effect: the image is chosen where the proxy is deployed',
  privateKeyProvider: 'has no effect: the runtime works with private keys',
  proxyHeaders: {
    forwardedClientCert: IN_FORCE,
    setCurrentClientCertDetails: {
      subject: IN_FORCE,
      cert: IN_FORCE,
      chain: IN_FORCE,
      dns: IN_FORCE,
      uri: IN_FORCE,
    },
    requestId: { disabled: IN_FORCE },
    server: { disabled: IN_FORCE, value: IN_FORCE },
    attemptCount: { disabled: IN_FORCE },
    envoyDebugHeaders: { disabled: IN_FORCE },
    metadataExchangeHeaders: { mode: IN_FORCE },
    preserveHttp1HeaderCase: IN_FORCE,
    xForwardedHost: { enabled: 'has no effect yet: proxies do not add x-forwarded-host' },
    xForwardedPort: { enabled: IN_FORCE },
  },
  fileFlushInterval: 'has no effect: access logs are written at once',
  fileFlushMinSizeKb: 'has no effect: access logs are written at once',
  statsCompression: IN_FORCE,
  connectionSettings: {
    profile: IN_FORCE,
    listenerPerConnectionBufferLimitBytes: IN_FORCE,
    clusterPerConnectionBufferLimitBytes:
      'has no effect: sockets and HTTP/2 streams to upstreams have fixed limits of what waits',
    httpIdleTimeout: IN_FORCE,
    httpRequestTimeout: IN_FORCE,
    httpRequestHeadersTimeout: IN_FORCE,
    httpStreamIdleTimeout: IN_FORCE,
    httpMaxConcurrentStreams: IN_FORCE,
    http2InitialStreamWindowSize: IN_FORCE,
    http2InitialConnectionWindowSize: IN_FORCE,
    httpHeadersWithUnderscoresAction: IN_FORCE,
    httpPathWithEscapedSlashesAction: IN_FORCE,
    httpMergeSlashes: IN_FORCE,
    httpNormalizePath: IN_FORCE,
    // Of each filter chain: most listeners have one.
    listenerConnectionLimit: IN_FORCE,
    globalDownstreamConnectionLimit: IN_FORCE,
  },
} satisfies EffectsOf<MeshProxyConfig>;
