/** Extension providers of MeshConfig: authorizers, tracers, access logs, metrics (istio.mesh.v1alpha1, ExtensionProvider). */
import type { z } from 'zod';
import { TRACE_CONTEXTS } from './mesh-config-proxy.ts';
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
} from './schema/vocabulary.ts';

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

export const ExtAuthzHttp = object({
  service: service(),
  port: port(),
  timeout: timeout(),
  pathPrefix: string().describe('Put before the path of the request.'),
  failOpen: bool().describe('Let requests pass when the authorizer fails. Default: false.'),
  statusOnError: string().describe('HTTP status when the authorizer fails. Default: 403.'),
  clearRouteCache: bool().describe('Choose the route anew after the authorizer changed headers.'),
  includeHeadersInCheck: list(string()).describe('Deprecated: use includeRequestHeadersInCheck.'),
  includeRequestHeadersInCheck: headerNames('Request headers sent to the authorizer.'),
  includeAdditionalHeadersInCheck: map(string()).describe('Fixed headers sent to the authorizer.'),
  includeRequestBodyInCheck: RequestBody.describe('Sends the body to the authorizer.'),
  headersToUpstreamOnAllow: headerNames("Headers of the authorizer's answer added to the request."),
  headersToDownstreamOnDeny: headerNames("Headers of the authorizer's answer added to a refusal."),
  headersToDownstreamOnAllow: headerNames("Headers of the authorizer's answer added to the response."),
});

export const ExtAuthzGrpc = object({
  service: service(),
  port: port(),
  timeout: timeout(),
  failOpen: bool().describe('Let requests pass when the authorizer fails. Default: false.'),
  statusOnError: string().describe('HTTP status when the authorizer fails. Default: 403.'),
  clearRouteCache: bool().describe('Choose the route anew after the authorizer changed headers.'),
  includeRequestBodyInCheck: RequestBody.describe('Sends the body to the authorizer.'),
});

const HttpHeader = object({ name: string(), value: string(), envName: string() });
const HttpService = object({ path: string(), timeout: timeout(), headers: list(HttpHeader) });

const Zipkin = object({
  service: service(),
  port: port(),
  maxTagLength: maxTagLength(),
  enable64bitTraceId: bool(),
  path: string().describe('Path of the collector. Default: /api/v2/spans.'),
  traceContextOption: oneOfNames(['USE_B3', 'USE_B3_WITH_W3C_PROPAGATION']),
  timeout: timeout(),
  headers: list(HttpHeader),
});

export const OpenTelemetry = object({
  service: service(),
  port: port(),
  maxTagLength: maxTagLength(),
  http: HttpService.describe('Export over HTTP instead of gRPC.'),
  grpc: object({ timeout: timeout(), initialMetadata: list(HttpHeader) }),
  resourceDetectors: object({ environment: object({}), dynatrace: object({}) }),
  dynatraceSampler: object({
    tenant: string(),
    clusterId: integer(),
    rootSpansPerMinute: uint32(),
    httpService: object({ service: service(), port: port(), http: HttpService }),
  }),
  serviceAttributeEnrichment: oneOfNames(['ISTIO_CANONICAL', 'OTEL_SEMANTIC_CONVENTIONS']),
});

const LogFormat = object({
  text: string().describe("A line of Envoy's command operators."),
  labels: struct().describe("A JSON object of Envoy's command operators."),
});

export const FileAccessLog = object({
  path: string().describe('The file. Default: /dev/stdout.'),
  logFormat: atMostOne(LogFormat, ['text', 'labels']),
  omitEmptyValues: bool().describe('Leaves out what has no value. Default: false.'),
});

const grpcLog = {
  service: service(),
  port: port(),
  logName: string(),
  filterStateObjectsToLog: list(string()),
};

/** Each key is one kind of provider; an entry of `extensionProviders` has exactly one. */
export const PROVIDERS = {
  envoyExtAuthzHttp: ExtAuthzHttp,
  envoyExtAuthzGrpc: ExtAuthzGrpc,
  zipkin: Zipkin,
  lightstep: object({ service: service(), port: port(), accessToken: string(), maxTagLength: maxTagLength() }),
  datadog: object({ service: service(), port: port(), maxTagLength: maxTagLength() }),
  stackdriver: object({
    debug: bool(),
    maxNumberOfAttributes: integer(),
    maxNumberOfAnnotations: integer(),
    maxNumberOfMessageEvents: integer(),
    maxTagLength: maxTagLength(),
    logging: object({ labels: map(string()) }),
  }),
  opencensus: object({
    service: service(),
    port: port(),
    context: list(oneOfNames(TRACE_CONTEXTS)),
    maxTagLength: maxTagLength(),
  }),
  skywalking: object({ service: service(), port: port(), accessToken: string() }),
  opentelemetry: OpenTelemetry,
  prometheus: object({}),
  envoyFileAccessLog: FileAccessLog,
  envoyHttpAls: object({
    ...grpcLog,
    additionalRequestHeadersToLog: list(string()),
    additionalResponseHeadersToLog: list(string()),
    additionalResponseTrailersToLog: list(string()),
  }),
  envoyTcpAls: object(grpcLog),
  envoyOtelAls: object({ ...grpcLog, logFormat: LogFormat }),
  sds: object({ name: string(), service: service(), port: port() }),
};
export type ProviderType = keyof typeof PROVIDERS;

export const ExtensionProvider = atMostOne(
  object({ name: string().describe('The name policies refer to.'), ...PROVIDERS }),
  Object.keys(PROVIDERS),
);
export type ExtensionProvider = z.infer<typeof ExtensionProvider>;
