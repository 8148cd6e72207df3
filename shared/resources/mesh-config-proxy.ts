/**
 * ProxyConfig as MeshConfig has it under `defaultConfig`, and annotation `proxy.istio.io/config` per workload
 * (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1, ProxyConfig). Not the kind `ProxyConfig`.
 */
import type { z } from 'zod';
import { TcpKeepalive } from './schema/common.ts';
import { ClientTls } from './schema/destination-rule.ts';
import { Image } from './schema/proxy-config.ts';
import { CustomTag } from './schema/telemetry.ts';
import {
  atMostOne,
  bool,
  duration,
  integer,
  list,
  map,
  number,
  object,
  oneOfNames,
  string,
} from './schema/vocabulary.ts';
import { Probe } from './schema/workload-group.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const TRACE_CONTEXTS = ['UNSPECIFIED', 'W3C_TRACE_CONTEXT', 'GRPC_BIN', 'CLOUD_TRACE_CONTEXT', 'B3'] as const;

const tracerAddress = () => string().describe('Where spans are sent, as `host:port`.');

export const Tracing = atMostOne(
  object({
    zipkin: object({ address: tracerAddress() }),
    lightstep: object({ address: tracerAddress(), accessToken: string().describe('Access token of the collector.') }),
    datadog: object({ address: tracerAddress() }),
    stackdriver: object({
      debug: bool(),
      maxNumberOfAttributes: integer(),
      maxNumberOfAnnotations: integer(),
      maxNumberOfMessageEvents: integer(),
    }),
    openCensusAgent: object({
      address: string().describe('gRPC name of the agent.'),
      context: list(oneOfNames(TRACE_CONTEXTS)).describe('Headers that carry the trace context.'),
    }),
    customTags: map(CustomTag).describe('Tags added to every span, by name.'),
    maxPathTagLength: uint32().describe('Longest path in the http.url tag, in characters. Default: 256.'),
    sampling: number({ min: 0, max: 100 }).describe('Share of requests that are traced, in percent. Default: 1.'),
    tlsSettings: ClientTls.describe('TLS to the tracing service.'),
    enableIstioTags: bool().describe("Adds Istio's own tags to spans. Default: true."),
  }),
  ['zipkin', 'lightstep', 'datadog', 'stackdriver', 'openCensusAgent'],
);

export const RemoteService = object({
  address: string().describe('The service as `host:port`.'),
  tlsSettings: ClientTls,
  tcpKeepalive: TcpKeepalive,
});

export const FORWARD_CLIENT_CERT = [
  'UNDEFINED',
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
] as const;

export const Topology = object({
  numTrustedProxies: uint32().describe('Proxies before the gateway whose X-Forwarded-For is believed. Default: 0.'),
  forwardClientCertDetails: oneOfNames(FORWARD_CLIENT_CERT).describe(
    'What a gateway does with X-Forwarded-Client-Cert.',
  ),
  proxyProtocol: object({}).describe('Gateways expect the PROXY protocol on every connection.'),
});

const PrivateKeyMethod = object({
  pollDelay: duration().describe('Longest wait before queued operations are processed; not zero.'),
  fallback: bool().describe('Use the plain implementation where the hardware lacks the feature.'),
});

export const PrivateKeyProvider = atMostOne(object({ cryptomb: PrivateKeyMethod, qat: PrivateKeyMethod }), [
  'cryptomb',
  'qat',
]);

const Disabled = object({ disabled: bool() });
const Enabled = object({ enabled: bool() });

export const ProxyHeaders = object({
  forwardedClientCert: oneOfNames(FORWARD_CLIENT_CERT).describe('What sidecars do with X-Forwarded-Client-Cert.'),
  setCurrentClientCertDetails: object({ subject: bool(), cert: bool(), chain: bool(), dns: bool(), uri: bool() }),
  requestId: Disabled.describe('X-Request-Id.'),
  server: object({ disabled: bool(), value: string() }).describe('The `server` header of answers.'),
  attemptCount: Disabled.describe('X-Envoy-Attempt-Count.'),
  envoyDebugHeaders: Disabled.describe('X-Envoy-* headers that tell of the proxy.'),
  metadataExchangeHeaders: object({ mode: oneOfNames(['UNDEFINED', 'IN_MESH']) }),
  preserveHttp1HeaderCase: bool().describe('Header names keep their case over HTTP/1.1. Default: false.'),
  xForwardedHost: Enabled,
  xForwardedPort: Enabled,
});

const UNDERSCORES = /^(HEADERS_WITH_UNDERSCORES_)?(UNSPECIFIED|ALLOW|REJECT_REQUEST|DROP_HEADER)$/;
const ESCAPED =
  /^(PATH_WITH_ESCAPED_SLASHES_)?(UNSPECIFIED|KEEP_UNCHANGED|REJECT_REQUEST|UNESCAPE_AND_REDIRECT|UNESCAPE_AND_FORWARD)$/;

export const ConnectionSettings = object({
  profile: string({ pattern: /^[A-Z][A-Z_]*$/ }).describe('`EDGE`: the values Envoy recommends for the edge.'),
  listenerPerConnectionBufferLimitBytes: integer().describe('Buffer of one downstream connection, in bytes.'),
  clusterPerConnectionBufferLimitBytes: integer().describe('Buffer of one upstream connection, in bytes.'),
  httpIdleTimeout: duration().describe('How long a connection may stand without requests.'),
  httpRequestTimeout: duration().describe('How long a whole request may take to arrive.'),
  httpRequestHeadersTimeout: duration().describe('How long the head of a request may take to arrive.'),
  httpStreamIdleTimeout: duration().describe('How long a stream may stand without data.'),
  httpMaxConcurrentStreams: integer().describe('HTTP/2 streams on one connection.'),
  http2InitialStreamWindowSize: integer().describe('HTTP/2 window of a stream, in bytes.'),
  http2InitialConnectionWindowSize: integer().describe('HTTP/2 window of a connection, in bytes.'),
  httpHeadersWithUnderscoresAction: string({ pattern: UNDERSCORES }),
  httpPathWithEscapedSlashesAction: string({ pattern: ESCAPED }),
  httpMergeSlashes: bool(),
  httpNormalizePath: bool(),
  listenerConnectionLimit: integer().describe('Connections of one listener.'),
  globalDownstreamConnectionLimit: integer().describe('Connections of the whole proxy.'),
});

export const MeshProxyConfig = atMostOne(
  object({
    configPath: string().describe('Folder of the generated configuration.'),
    binaryPath: string().describe('The proxy program.'),
    serviceCluster: string().describe('Name under which the proxy appears in traces. Default: istio-proxy.'),
    tracingServiceName: oneOfNames([
      'APP_LABEL_AND_NAMESPACE',
      'CANONICAL_NAME_ONLY',
      'CANONICAL_NAME_AND_NAMESPACE',
    ]).describe('How the name in traces is made of the workload.'),
    drainDuration: duration().describe('How long connections are drained. Default: 45s.'),
    parentShutdownDuration: duration(),
    discoveryAddress: string().describe('The control plane as `host:port`. Default: istiod.istio-system.svc:15012.'),
    discoveryRefreshDelay: duration(),
    zipkinAddress: string().describe('Deprecated: use tracing.zipkin.'),
    statsdUdpAddress: string().describe('A statsd listener as `host:port`.'),
    envoyMetricsServiceAddress: string().describe('Deprecated: use envoyMetricsService.'),
    proxyAdminPort: integer().describe('Port of the admin interface. Default: 15000.'),
    availabilityZone: string(),
    controlPlaneAuthPolicy: oneOfNames(['NONE', 'MUTUAL_TLS', 'INHERIT']).describe(
      'How the proxy proves itself to the control plane. Default: MUTUAL_TLS.',
    ),
    customConfigFile: string(),
    statNameLength: integer().describe('Longest name of a metric. Default: 189.'),
    concurrency: integer().describe('Worker threads; 0 is one per core.'),
    proxyBootstrapTemplatePath: string(),
    interceptionMode: oneOfNames(['REDIRECT', 'TPROXY', 'NONE']).describe('How traffic is captured.'),
    tracing: Tracing,
    sds: object({ enabled: bool(), k8sSaJwtPath: string() }),
    envoyAccessLogService: RemoteService.describe('Where access logs are sent over gRPC.'),
    envoyMetricsService: RemoteService.describe('Where metrics are sent over gRPC.'),
    proxyMetadata: map(string()).describe('Environment of the proxy; ISTIO_META_* become node metadata.'),
    runtimeValues: map(string()).describe("Envoy's runtime settings."),
    statusPort: integer().describe('Port of the health checks. Default: 15020.'),
    extraStatTags: list(string()).describe('Tags of metrics beside the standard ones.'),
    gatewayTopology: Topology.describe('What stands before gateways.'),
    terminationDrainDuration: duration().describe('How long connections may finish at shutdown. Default: 5s.'),
    meshId: string().describe('Name of the mesh in telemetry.'),
    readinessProbe: Probe.describe('Health check of the application.'),
    proxyStatsMatcher: object({
      inclusionPrefixes: list(string()),
      inclusionSuffixes: list(string()),
      inclusionRegexps: list(string()),
    }).describe('Metrics that are made beside the standard ones.'),
    holdApplicationUntilProxyStarts: bool().describe('The application starts after the proxy. Default: false.'),
    caCertificatesPem: list(string()).describe('Roots trusted beside those of the mesh, as PEM.'),
    image: Image,
    privateKeyProvider: PrivateKeyProvider,
    proxyHeaders: ProxyHeaders.describe('Headers the proxy adds.'),
    fileFlushInterval: duration().describe('How often access logs are flushed. Default: 1s.'),
    fileFlushMinSizeKb: uint32().describe('Buffered access log that is flushed at once, in KiB. Default: 64.'),
    statsCompression: bool().describe('Metrics are served compressed. Default: true.'),
    connectionSettings: ConnectionSettings,
  }),
  ['serviceCluster', 'tracingServiceName'],
);
export type MeshProxyConfig = z.infer<typeof MeshProxyConfig>;
