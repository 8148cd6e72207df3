/** envoy.extensions.filters.network.http_connection_manager.v3 */
import { lazy, type z } from 'zod';
import {
  BodyFormat,
  ConfigSource,
  DataSource,
  HeaderValueOption,
  Http2ProtocolOptions,
  StringMatcher,
} from './core.ts';
import { FilterConfigAny } from './http-filters.ts';
import {
  any,
  bool,
  duration,
  enumeration,
  list,
  message,
  messageRequiring,
  nonEmpty,
  string,
  struct,
  uint32,
} from './message.ts';
import { HeaderMatcher, RouteConfiguration } from './route.ts';
import { ManagerTracing } from './telemetry/tracing.ts';

export const HttpFilter = messageRequiring(
  { name: nonEmpty(), isOptional: bool(), disabled: bool(), typedConfig: FilterConfigAny },
  ['name', 'typedConfig'],
);
export type HttpFilter = z.infer<typeof HttpFilter>;

const LogFormat = message({
  textFormatSource: DataSource,
  textFormat: string(),
  jsonFormat: struct(),
  omitEmptyValues: bool(),
  /** Properties keep the order of the format in any case. */
  jsonFormatOptions: message({ sortProperties: bool() }),
});
const Comparison = messageRequiring(
  {
    comparison: message({
      op: enumeration(['EQ', 'GE', 'LE', 'NE']),
      value: message({ defaultValue: uint32(), runtimeKey: string() }),
    }),
  },
  ['comparison'],
);
export type Comparison = z.infer<typeof Comparison>;

/** envoy.config.accesslog.v3.GrpcStatusFilter.Status, by code: it writes CANCELED, where gRPC has CANCELLED. */
export const GRPC_FILTER_STATUS_NAMES = [
  'OK',
  'CANCELED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
type GrpcStatusName = (typeof GRPC_FILTER_STATUS_NAMES)[number];

/** envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, the one extension among the filters. */
const ExtensionFilter = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter': messageRequiring({ expression: nonEmpty() }, [
        'expression',
      ]),
    }),
  },
  ['name', 'typedConfig'],
);

/** Filters of access logs and of local reply mappers. */
export interface AccessLogFilter {
  statusCodeFilter?: Comparison | undefined;
  durationFilter?: Comparison | undefined;
  /** No request is a health check here: there is no filter that answers them. */
  notHealthCheckFilter?: object | undefined;
  /** The request is traced. */
  traceableFilter?: object | undefined;
  headerFilter?: { header: HeaderMatcher } | undefined;
  responseFlagFilter?: { flags?: string[] | undefined } | undefined;
  grpcStatusFilter?: { statuses?: GrpcStatusName[] | undefined; exclude?: boolean | undefined } | undefined;
  andFilter?: { filters?: AccessLogFilter[] | undefined } | undefined;
  orFilter?: { filters?: AccessLogFilter[] | undefined } | undefined;
  extensionFilter?: z.infer<typeof ExtensionFilter> | undefined;
}
const AccessLogFilter: z.ZodType<AccessLogFilter> = lazy(() =>
  message({
    statusCodeFilter: Comparison,
    durationFilter: Comparison,
    notHealthCheckFilter: message({}),
    traceableFilter: message({}),
    headerFilter: messageRequiring({ header: HeaderMatcher }, ['header']),
    responseFlagFilter: message({ flags: list(nonEmpty()) }),
    grpcStatusFilter: message({ statuses: list(enumeration(GRPC_FILTER_STATUS_NAMES)), exclude: bool() }),
    andFilter: message({ filters: list(AccessLogFilter) }),
    orFilter: message({ filters: list(AccessLogFilter) }),
    extensionFilter: ExtensionFilter,
  }),
);
export const AccessLog = messageRequiring(
  {
    name: nonEmpty(),
    filter: AccessLogFilter,
    typedConfig: any({
      'envoy.extensions.access_loggers.file.v3.FileAccessLog': messageRequiring(
        { path: nonEmpty(), logFormat: LogFormat },
        ['path'],
      ),
      'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': message({ logFormat: LogFormat }),
      'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': message({ logFormat: LogFormat }),
    }),
  },
  ['name', 'typedConfig'],
);
export type AccessLog = z.infer<typeof AccessLog>;

const LocalReplyConfig = message({
  mappers: list(
    messageRequiring(
      {
        filter: AccessLogFilter,
        statusCode: uint32(),
        body: DataSource,
        bodyFormatOverride: BodyFormat,
        headersToAdd: list(HeaderValueOption),
      },
      ['filter'],
    ),
  ),
  bodyFormat: BodyFormat,
});

/** How names of fields are spelled towards HTTP/1.1 peers. Absent: as received, see docs/differences-from-envoy.md. */
const HeaderKeyFormat = message({
  properCaseWords: message({}),
  statefulFormatter: messageRequiring(
    {
      name: nonEmpty(),
      typedConfig: any({
        'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig': message({
          forwardReasonPhrase: bool(),
          formatterTypeOnEnvoyHeaders: enumeration(['DEFAULT', 'PROPER_CASE']),
        }),
      }),
    },
    ['name', 'typedConfig'],
  ),
});

export const HttpConnectionManager = messageRequiring(
  {
    codecType: enumeration(['AUTO', 'HTTP1', 'HTTP2', 'HTTP3']),
    statPrefix: nonEmpty(),
    rds: messageRequiring({ configSource: ConfigSource, routeConfigName: nonEmpty() }, ['routeConfigName']),
    routeConfig: RouteConfiguration,
    httpFilters: list(HttpFilter),
    addUserAgent: bool(),
    tracing: ManagerTracing,
    commonHttpProtocolOptions: message({
      idleTimeout: duration(),
      maxConnectionDuration: duration(),
      maxHeadersCount: uint32(),
      maxStreamDuration: duration(),
      maxRequestsPerConnection: uint32(),
      headersWithUnderscoresAction: enumeration(['ALLOW', 'REJECT_REQUEST', 'DROP_HEADER']),
    }),
    httpProtocolOptions: message({
      allowAbsoluteUrl: bool(),
      acceptHttp10: bool(),
      defaultHostForHttp10: string(),
      enableTrailers: bool(),
      headerKeyFormat: HeaderKeyFormat,
      ignoreHttp11Upgrade: list(StringMatcher),
    }),
    http2ProtocolOptions: Http2ProtocolOptions,
    serverName: string(),
    schemeHeaderTransformation: message({ schemeToOverwrite: enumeration(['HTTP', 'HTTPS']) }),
    serverHeaderTransformation: enumeration(['OVERWRITE', 'APPEND_IF_ABSENT', 'PASS_THROUGH']),
    maxRequestHeadersKb: uint32(),
    streamIdleTimeout: duration(),
    requestTimeout: duration(),
    requestHeadersTimeout: duration(),
    drainTimeout: duration(),
    streamFlushTimeout: duration(),
    delayedCloseTimeout: duration(),
    accessLog: list(AccessLog),
    useRemoteAddress: bool(),
    xffNumTrustedHops: uint32(),
    skipXffAppend: bool(),
    appendXForwardedPort: bool(),
    localReplyConfig: LocalReplyConfig,
    via: string(),
    generateRequestId: bool(),
    preserveExternalRequestId: bool(),
    alwaysSetRequestIdInResponse: bool(),
    forwardClientCertDetails: enumeration([
      'SANITIZE',
      'FORWARD_ONLY',
      'APPEND_FORWARD',
      'SANITIZE_SET',
      'ALWAYS_FORWARD_ONLY',
    ]),
    setCurrentClientCertDetails: message({ subject: bool(), cert: bool(), chain: bool(), dns: bool(), uri: bool() }),
    proxy100Continue: bool(),
    upgradeConfigs: list(messageRequiring({ upgradeType: nonEmpty(), enabled: bool() }, ['upgradeType'])),
    normalizePath: bool(),
    mergeSlashes: bool(),
    pathWithEscapedSlashesAction: enumeration([
      'IMPLEMENTATION_SPECIFIC_DEFAULT',
      'KEEP_UNCHANGED',
      'REJECT_REQUEST',
      'UNESCAPE_AND_REDIRECT',
      'UNESCAPE_AND_FORWARD',
    ]),
    stripMatchingHostPort: bool(),
    stripAnyHostPort: bool(),
    stripTrailingHostDot: bool(),
    requestIdExtension: message({
      typedConfig: any({
        'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig': message({
          packTraceReason: bool(),
          useRequestIdForTraceSampling: bool(),
        }),
      }),
    }),
    internalAddressConfig: message({
      unixSockets: bool(),
      cidrRanges: list(message({ addressPrefix: string(), prefixLen: uint32() })),
    }),
  },
  ['statPrefix'],
);
export type HttpConnectionManager = z.infer<typeof HttpConnectionManager>;
