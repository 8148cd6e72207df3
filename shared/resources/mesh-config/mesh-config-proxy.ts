/**
 * ProxyConfig as MeshConfig has it under `defaultConfig`, and annotation `proxy.istio.io/config` per workload
 * (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1, ProxyConfig). Not the kind `ProxyConfig`.
 */
import type { z } from 'zod';
import { TcpKeepalive } from '../schema/common.ts';
import { ClientTls } from '../schema/destination-rule.ts';
import { Image } from '../schema/proxy-config.ts';
import { CustomTag } from '../schema/telemetry.ts';
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
} from '../schema/vocabulary.ts';
import { Probe } from '../schema/workload-group.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const TRACE_CONTEXTS = ['UNSPECIFIED', 'W3C_TRACE_CONTEXT', 'GRPC_BIN', 'CLOUD_TRACE_CONTEXT', 'B3'] as const;

const tracerAddress = () => string().describe('Where spans are sent, as `host:port`.');

/** Settings of Google Cloud Trace, here and in an extension provider. */
export const stackdriverFields = {
  debug: bool().describe('Spans are also written to the log of the proxy. Default: false.'),
  maxNumberOfAttributes: integer().describe('Attributes of a span at most. Default: 200.'),
  maxNumberOfAnnotations: integer().describe('Annotations of a span at most. Default: 200.'),
  maxNumberOfMessageEvents: integer().describe('Message events of a span at most. Default: 200.'),
};

const Tracing = atMostOne(
  object({
    zipkin: object({ address: tracerAddress() }).describe('Spans go to Zipkin.'),
    lightstep: object({
      address: tracerAddress(),
      accessToken: string().describe('Access token of the collector.'),
    }).describe('Spans go to Lightstep.'),
    datadog: object({ address: tracerAddress() }).describe('Spans go to a Datadog agent.'),
    stackdriver: object(stackdriverFields).describe('Spans go to Google Cloud Trace.'),
    openCensusAgent: object({
      address: string().describe('gRPC name of the agent.'),
      context: list(oneOfNames(TRACE_CONTEXTS)).describe('Headers that carry the trace context.'),
    }).describe('Spans go to an OpenCensus agent.'),
    customTags: map(CustomTag).describe('Tags added to every span, by name.'),
    maxPathTagLength: uint32().describe('Longest path in the http.url tag, in characters. Default: 256.'),
    sampling: number({ min: 0, max: 100 }).describe('Share of requests that are traced, in percent. Default: 1.'),
    tlsSettings: ClientTls.describe('TLS to the tracing service.'),
    enableIstioTags: bool().describe("Adds Istio's own tags to spans. Default: true."),
  }),
  ['zipkin', 'lightstep', 'datadog', 'stackdriver', 'openCensusAgent'],
);

const RemoteService = object({
  address: string().describe('The service as `host:port`.'),
  tlsSettings: ClientTls.describe('TLS to the service. Default: none.'),
  tcpKeepalive: TcpKeepalive.describe('TCP keepalive of the connection.'),
});

const FORWARD_CLIENT_CERT = [
  'UNDEFINED',
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
] as const;

const Topology = object({
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

const PrivateKeyProvider = atMostOne(
  object({
    cryptomb: PrivateKeyMethod.describe("Intel's CryptoMB."),
    qat: PrivateKeyMethod.describe("Intel's QuickAssist."),
  }),
  ['cryptomb', 'qat'],
);

const Disabled = object({ disabled: bool().describe('The proxy leaves it out. Default: false.') });
const Enabled = object({ enabled: bool().describe('The proxy sets it. Default: false.') });

const ProxyHeaders = object({
  forwardedClientCert: oneOfNames(FORWARD_CLIENT_CERT).describe('What sidecars do with X-Forwarded-Client-Cert.'),
  setCurrentClientCertDetails: object({
    subject: bool().describe('Its subject. Default: true.'),
    cert: bool().describe('The certificate itself, as PEM. Default: false.'),
    chain: bool().describe('The whole chain, as PEM. Default: false.'),
    dns: bool().describe('Its DNS names. Default: true.'),
    uri: bool().describe('Its URI names, as the SPIFFE id. Default: true.'),
  }).describe('Fields of the client certificate in X-Forwarded-Client-Cert; with APPEND_FORWARD and SANITIZE_SET.'),
  requestId: Disabled.describe('X-Request-Id.'),
  server: object({
    disabled: bool().describe('The proxy leaves it out. Default: false.'),
    value: string().describe('Its value. Default: istio-envoy.'),
  }).describe('The `server` header of answers.'),
  attemptCount: Disabled.describe('X-Envoy-Attempt-Count.'),
  envoyDebugHeaders: Disabled.describe('X-Envoy-* headers that describe the proxy.'),
  metadataExchangeHeaders: object({
    mode: oneOfNames(['UNDEFINED', 'IN_MESH']).describe(
      'IN_MESH: only to services of the mesh, not to those outside. Default: UNDEFINED, always.',
    ),
  }).describe('X-Envoy-Peer-Metadata and its id, by which proxies exchange their workload metadata.'),
  preserveHttp1HeaderCase: bool().describe('Header names keep their case over HTTP/1.1. Default: false.'),
  xForwardedHost: Enabled.describe('X-Forwarded-Host.'),
  xForwardedPort: Enabled.describe('X-Forwarded-Port.'),
});

const UNDERSCORES = /^(HEADERS_WITH_UNDERSCORES_)?(UNSPECIFIED|ALLOW|REJECT_REQUEST|DROP_HEADER)$/;
const ESCAPED =
  /^(PATH_WITH_ESCAPED_SLASHES_)?(UNSPECIFIED|KEEP_UNCHANGED|REJECT_REQUEST|UNESCAPE_AND_REDIRECT|UNESCAPE_AND_FORWARD)$/;

export const ConnectionSettings = object({
  profile: string({ pattern: /^[A-Z][A-Z_]*$/ }).describe('`EDGE`: the values Envoy recommends for the edge.'),
  listenerPerConnectionBufferLimitBytes: integer().describe('Buffer of one downstream connection, in bytes.'),
  clusterPerConnectionBufferLimitBytes: integer().describe('Buffer of one upstream connection, in bytes.'),
  httpIdleTimeout: duration().describe('How long a connection may be idle.'),
  httpRequestTimeout: duration().describe('How long a whole request may take to arrive.'),
  httpRequestHeadersTimeout: duration().describe('How long the head of a request may take to arrive.'),
  httpStreamIdleTimeout: duration().describe('How long a stream may be idle.'),
  httpMaxConcurrentStreams: integer().describe('HTTP/2 streams on one connection.'),
  http2InitialStreamWindowSize: integer().describe('HTTP/2 window of a stream, in bytes.'),
  http2InitialConnectionWindowSize: integer().describe('HTTP/2 window of a connection, in bytes.'),
  httpHeadersWithUnderscoresAction: string({ pattern: UNDERSCORES }).describe(
    'What happens to header names with "_": ALLOW, REJECT_REQUEST or DROP_HEADER. Default: ALLOW.',
  ),
  httpPathWithEscapedSlashesAction: string({ pattern: ESCAPED }).describe(
    'What happens to %2F and the like in paths. Default: KEEP_UNCHANGED.',
  ),
  httpMergeSlashes: bool().describe('Several slashes in a path become one.'),
  httpNormalizePath: bool().describe('Paths are normalised as RFC 3986 has it.'),
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
    drainDuration: duration().describe('How long connections of a removed listener stay open. Default: 45s.'),
    parentShutdownDuration: duration().describe('Not used any more: kept so that older configs are accepted.'),
    discoveryAddress: string().describe('The control plane as `host:port`. Default: istiod.istio-system.svc:15012.'),
    discoveryRefreshDelay: duration().describe('Deprecated, not used.'),
    zipkinAddress: string().describe('Deprecated: use tracing.zipkin.'),
    statsdUdpAddress: string().describe('A statsd listener as `host:port`.'),
    envoyMetricsServiceAddress: string().describe('Deprecated: use envoyMetricsService.'),
    proxyAdminPort: integer().describe('Port of the admin interface. Default: 15000.'),
    availabilityZone: string().describe('Deprecated, not used: the locality is that of the workload.'),
    controlPlaneAuthPolicy: oneOfNames(['NONE', 'MUTUAL_TLS', 'INHERIT']).describe(
      'How the proxy proves itself to the control plane. Default: MUTUAL_TLS.',
    ),
    customConfigFile: string().describe('File with a whole bootstrap config, in place of the generated one.'),
    statNameLength: integer().describe('Longest name of a metric. Default: 189.'),
    concurrency: integer().describe('Worker processes of a proxy; 0 is one for each core it may use. Default: 1.'),
    proxyBootstrapTemplatePath: string().describe('File with a template of the bootstrap config.'),
    interceptionMode: oneOfNames(['REDIRECT', 'TPROXY', 'NONE']).describe('How traffic is captured.'),
    tracing: Tracing.describe('Where spans go and how many are made.'),
    sds: object({
      enabled: bool().describe('Deprecated, not used.'),
      k8sSaJwtPath: string().describe('Deprecated, not used.'),
    }).describe('Deprecated, not used.'),
    envoyAccessLogService: RemoteService.describe('Where access logs are sent over gRPC.'),
    envoyMetricsService: RemoteService.describe('Where metrics are sent over gRPC.'),
    proxyMetadata: map(string()).describe(
      'Environment of the proxy, of which `ISTIO_META_HTTP10: "1"` (it serves HTTP/1.0), `TULLE_IGNORED_UPGRADES` (offers of ' +
        'Upgrade that it ignores) and `TULLE_DENIAL_HEADER` (a header of denials that tells policy and rule) have an effect.',
    ),
    runtimeValues: map(string()).describe("Envoy's runtime settings."),
    statusPort: integer().describe('Port of the health checks. Default: 15020.'),
    extraStatTags: list(string()).describe('Tags of metrics beside the standard ones.'),
    gatewayTopology: Topology.describe('Trusted proxies in front of gateways.'),
    terminationDrainDuration: duration().describe('How long connections may finish at shutdown. Default: 5s.'),
    meshId: string().describe('Name of the mesh in telemetry.'),
    readinessProbe: Probe.describe('Health check of the application.'),
    proxyStatsMatcher: object({
      inclusionPrefixes: list(string()).describe('How their names begin.'),
      inclusionSuffixes: list(string()).describe('How their names end.'),
      inclusionRegexps: list(string()).describe('Regular expressions for their names.'),
    }).describe('Metrics that are made beside the standard ones.'),
    holdApplicationUntilProxyStarts: bool().describe('The application starts after the proxy. Default: false.'),
    caCertificatesPem: list(string()).describe('Roots trusted beside those of the mesh, as PEM.'),
    image: Image.describe('The image of the proxy.'),
    privateKeyProvider: PrivateKeyProvider.describe('Hardware that works with private keys.'),
    proxyHeaders: ProxyHeaders.describe('Headers the proxy adds.'),
    fileFlushInterval: duration().describe('How often access logs are flushed. Default: 1s.'),
    fileFlushMinSizeKb: uint32().describe('Buffered access log that is flushed at once, in KiB. Default: 64.'),
    statsCompression: bool().describe('Metrics are served compressed. Default: true.'),
    connectionSettings: ConnectionSettings.describe('Limits and timeouts of connections.'),
  }),
  ['serviceCluster', 'tracingServiceName'],
);
export type MeshProxyConfig = z.infer<typeof MeshProxyConfig>;
