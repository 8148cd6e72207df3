/** Extension providers of MeshConfig: authorizers, tracers, access logs, metrics (istio.mesh.v1alpha1, ExtensionProvider). */
import type { z } from 'zod';
import {
  atMostOne,
  bool,
  duration,
  integer,
  list,
  map,
  object,
  oneOfNames,
  string,
  struct,
} from '../schema/vocabulary.ts';
import { stackdriverFields, TRACE_CONTEXTS } from './mesh-config-proxy.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });
const service = () => string().describe('The service, as `host` or `namespace/host`.');
const port = () => uint32().describe('Port of the service.');
const maxTagLength = () => uint32().describe('Longest path in a span, in characters.');
const timeout = () => duration().describe('How long an answer may take.');
/** Exact names, `prefix*` or `*suffix`. */
const headerNames = (what: string) => list(string()).describe(`${what} Exact names, \`prefix*\` or \`*suffix\`.`);

const RequestBody = object({
  maxRequestBytes: uint32().describe('Most of a body that is sent, in bytes.'),
  allowPartialMessage: bool().describe('A longer body is cut instead of refused with 413.'),
  packAsBytes: bool().describe('gRPC: the body as bytes.'),
});

const ExtAuthzHttp = object({
  service: service(),
  port: port(),
  timeout: timeout(),
  pathPrefix: string().describe('Put before the path of the request.'),
  failOpen: bool().describe('Let requests pass when the authorizer fails. Default: false.'),
  statusOnError: string().describe('HTTP status when the authorizer fails. Default: 403.'),
  clearRouteCache: bool().describe('Select the route again after the authorizer changed headers.'),
  includeHeadersInCheck: list(string()).describe('Deprecated: use includeRequestHeadersInCheck.'),
  includeRequestHeadersInCheck: headerNames('Request headers sent to the authorizer.'),
  includeAdditionalHeadersInCheck: map(string()).describe('Fixed headers sent to the authorizer.'),
  includeRequestBodyInCheck: RequestBody.describe('Sends the body to the authorizer.'),
  headersToUpstreamOnAllow: headerNames("Headers of the authorizer's answer added to the request."),
  headersToDownstreamOnDeny: headerNames("Headers of the authorizer's answer added to a refusal."),
  headersToDownstreamOnAllow: headerNames("Headers of the authorizer's answer added to the response."),
});

const ExtAuthzGrpc = object({
  service: service(),
  port: port(),
  timeout: timeout(),
  failOpen: bool().describe('Let requests pass when the authorizer fails. Default: false.'),
  statusOnError: string().describe('HTTP status when the authorizer fails. Default: 403.'),
  clearRouteCache: bool().describe('Select the route again after the authorizer changed headers.'),
  includeRequestBodyInCheck: RequestBody.describe('Sends the body to the authorizer.'),
});

const HttpHeader = object({
  name: string().describe('Name of the header.'),
  value: string().describe('Its value.'),
  envName: string().describe('Environment variable of the proxy that holds its value, in place of value.'),
});
const headers = () => list(HttpHeader).describe('Headers sent along, as an access token.');
const HttpService = object({
  path: string().describe('Path of the request.'),
  timeout: timeout(),
  headers: headers(),
});

const Zipkin = object({
  service: service(),
  port: port(),
  maxTagLength: maxTagLength(),
  enable64bitTraceId: bool().describe('Trace ids of 64 bits in place of 128. Default: false.'),
  path: string().describe('Path of the collector. Default: /api/v2/spans.'),
  traceContextOption: oneOfNames(['USE_B3', 'USE_B3_WITH_W3C_PROPAGATION']).describe(
    'Headers that carry the trace context: B3 alone, or W3C traceparent as well. Default: USE_B3.',
  ),
  timeout: timeout(),
  headers: headers(),
});

const OpenTelemetry = object({
  service: service(),
  port: port(),
  maxTagLength: maxTagLength(),
  http: HttpService.describe('Export over HTTP instead of gRPC.'),
  grpc: object({ timeout: timeout(), initialMetadata: headers() }).describe('Settings of the export over gRPC.'),
  resourceDetectors: object({
    environment: object({}).describe('From environment variable OTEL_RESOURCE_ATTRIBUTES.'),
    dynatrace: object({}).describe("From Dynatrace's files on the host."),
  }).describe('Where attributes of the resource come from.'),
  dynatraceSampler: object({
    tenant: string().describe('The Dynatrace tenant.'),
    clusterId: integer().describe('Its cluster id.'),
    rootSpansPerMinute: uint32().describe(
      'Traces started per minute, until the service sets another number. Default: 1000.',
    ),
    httpService: object({
      service: service(),
      port: port(),
      http: HttpService.describe('The HTTP request to it.'),
    }).describe('Where the sampling config is fetched. Default: the exporter.'),
  }).describe('Dynatrace decides which requests are traced.'),
  serviceAttributeEnrichment: oneOfNames(['ISTIO_CANONICAL', 'OTEL_SEMANTIC_CONVENTIONS']).describe(
    "How service.name and its like are made: Istio's way, or as OpenTelemetry's conventions have it. Default: ISTIO_CANONICAL.",
  ),
});

const LogFormat = object({
  text: string().describe("A line of Envoy's command operators."),
  labels: struct().describe("A JSON object of Envoy's command operators."),
});

const FileAccessLog = object({
  path: string().describe('The file. Default: /dev/stdout.'),
  logFormat: atMostOne(LogFormat, ['text', 'labels']).describe("Format of the log. Default: the mesh's."),
  omitEmptyValues: bool().describe('Leaves out what has no value. Default: false.'),
});

const grpcLog = {
  service: service(),
  port: port(),
  logName: string().describe('Name of the log, sent to the service.'),
  filterStateObjectsToLog: list(string()).describe('Objects of the filter state that are sent too.'),
};

/** Each key is one kind of provider; an entry of `extensionProviders` has exactly one. */
export const PROVIDERS = {
  envoyExtAuthzHttp: ExtAuthzHttp.describe('An external authorizer called over HTTP, for AuthorizationPolicy CUSTOM.'),
  envoyExtAuthzGrpc: ExtAuthzGrpc.describe("An external authorizer called over gRPC, in Envoy's ext_authz protocol."),
  zipkin: Zipkin.describe('Spans go to Zipkin.'),
  lightstep: object({
    service: service(),
    port: port(),
    accessToken: string().describe('Access token of the collector.'),
    maxTagLength: maxTagLength(),
  }).describe('Spans go to Lightstep. Deprecated: use opentelemetry.'),
  datadog: object({ service: service(), port: port(), maxTagLength: maxTagLength() }).describe(
    'Spans go to a Datadog agent.',
  ),
  stackdriver: object({
    ...stackdriverFields,
    maxTagLength: maxTagLength(),
    logging: object({ labels: map(string()).describe('CEL expressions for labels of log entries, by name.') }).describe(
      'Access logs go to Google Cloud Logging.',
    ),
  }).describe('Google Cloud: traces, metrics and logs.'),
  opencensus: object({
    service: service(),
    port: port(),
    context: list(oneOfNames(TRACE_CONTEXTS)).describe('Headers that carry the trace context.'),
    maxTagLength: maxTagLength(),
  }).describe('Spans go to an OpenCensus agent. Deprecated: use opentelemetry.'),
  skywalking: object({
    service: service(),
    port: port(),
    accessToken: string().describe('Access token of the collector.'),
  }).describe('Spans go to SkyWalking.'),
  opentelemetry: OpenTelemetry.describe('Spans go to an OpenTelemetry collector.'),
  prometheus: object({}).describe('Metrics for Prometheus to fetch.'),
  envoyFileAccessLog: FileAccessLog.describe('Access log to a file or to standard output.'),
  envoyHttpAls: object({
    ...grpcLog,
    additionalRequestHeadersToLog: list(string()).describe('Request headers that are sent too.'),
    additionalResponseHeadersToLog: list(string()).describe('Response headers that are sent too.'),
    additionalResponseTrailersToLog: list(string()).describe('Response trailers that are sent too.'),
  }).describe("Access log of HTTP over gRPC, in Envoy's protocol."),
  envoyTcpAls: object(grpcLog).describe("Access log of TCP over gRPC, in Envoy's protocol."),
  envoyOtelAls: object({ ...grpcLog, logFormat: LogFormat.describe('Body and attributes of log records.') }).describe(
    "Access log over gRPC, in OpenTelemetry's protocol.",
  ),
  sds: object({
    name: string().describe('Name by which credentialName refers to it, as `sds://name`.'),
    service: service(),
    port: port(),
  }).describe('A service that gateways fetch certificates from.'),
};
export type ProviderType = keyof typeof PROVIDERS;

export const ExtensionProvider = atMostOne(
  object({ name: string().describe('The name policies refer to.'), ...PROVIDERS }),
  Object.keys(PROVIDERS),
);
export type ExtensionProvider = z.infer<typeof ExtensionProvider>;
