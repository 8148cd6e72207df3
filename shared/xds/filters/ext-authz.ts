/**
 * External authorization: envoy.extensions.filters.http.ext_authz.v3 and envoy.extensions.filters.network.ext_authz.v3. Fields
 * of Envoy's messages that are not here are refused by name.
 */
import * as z from 'zod';
import { RuntimeFractionalPercent, StringMatcher } from '../core.ts';
import { MetadataMatcher } from '../match/metadata-matcher.ts';
import {
  bool,
  duration,
  enumeration,
  list,
  map,
  message,
  messageRequiring,
  nonEmpty,
  string,
  uint32,
} from '../message.ts';

/** The names of envoy.type.v3.StatusCode. */
const STATUS_CODES = {
  Continue: 100,
  OK: 200,
  Created: 201,
  Accepted: 202,
  NonAuthoritativeInformation: 203,
  NoContent: 204,
  ResetContent: 205,
  PartialContent: 206,
  MultiStatus: 207,
  AlreadyReported: 208,
  IMUsed: 226,
  MultipleChoices: 300,
  MovedPermanently: 301,
  Found: 302,
  SeeOther: 303,
  NotModified: 304,
  UseProxy: 305,
  TemporaryRedirect: 307,
  PermanentRedirect: 308,
  BadRequest: 400,
  Unauthorized: 401,
  PaymentRequired: 402,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  ProxyAuthenticationRequired: 407,
  RequestTimeout: 408,
  Conflict: 409,
  Gone: 410,
  LengthRequired: 411,
  PreconditionFailed: 412,
  PayloadTooLarge: 413,
  URITooLong: 414,
  UnsupportedMediaType: 415,
  RangeNotSatisfiable: 416,
  ExpectationFailed: 417,
  MisdirectedRequest: 421,
  UnprocessableEntity: 422,
  Locked: 423,
  FailedDependency: 424,
  UpgradeRequired: 426,
  PreconditionRequired: 428,
  TooManyRequests: 429,
  RequestHeaderFieldsTooLarge: 431,
  InternalServerError: 500,
  NotImplemented: 501,
  BadGateway: 502,
  ServiceUnavailable: 503,
  GatewayTimeout: 504,
  HTTPVersionNotSupported: 505,
  VariantAlsoNegotiates: 506,
  InsufficientStorage: 507,
  LoopDetected: 508,
  NotExtended: 510,
  NetworkAuthenticationRequired: 511,
} as const;
export type StatusCodeName = keyof typeof STATUS_CODES;

const NAMES = new Map(Object.entries(STATUS_CODES).map(([name, code]) => [code as number, name as StatusCodeName]));

/** The name of envoy.type.v3.StatusCode; undefined: it has none for that status. */
export function statusCodeName(status: number): StatusCodeName | undefined {
  return NAMES.get(status);
}

export function statusOfCode(name: StatusCodeName): number {
  return STATUS_CODES[name];
}

/** envoy.type.v3.HttpStatus */
export const HttpStatus = message({
  code: z.preprocess(
    (value) => (typeof value === 'number' ? (NAMES.get(value) ?? value) : value),
    z.enum(Object.keys(STATUS_CODES) as [StatusCodeName, ...StatusCodeName[]]),
  ) as unknown as z.ZodType<StatusCodeName>,
});

const HeaderValue = messageRequiring({ key: nonEmpty(), value: string() }, ['key']);
const ListStringMatcher = messageRequiring({ patterns: list(StringMatcher) }, ['patterns']);
export type ListStringMatcher = z.infer<typeof ListStringMatcher>;

/** envoy.config.core.v3.GrpcService, of Envoy's own client. */
const GrpcService = messageRequiring(
  {
    envoyGrpc: messageRequiring({ clusterName: nonEmpty(), authority: string() }, ['clusterName']),
    timeout: duration(),
    initialMetadata: list(HeaderValue),
  },
  ['envoyGrpc'],
);
export type GrpcService = z.infer<typeof GrpcService>;

const HttpService = messageRequiring(
  {
    serverUri: messageRequiring({ uri: nonEmpty(), cluster: nonEmpty(), timeout: duration() }, [
      'uri',
      'cluster',
      'timeout',
    ]),
    pathPrefix: string(),
    pathOverride: string(),
    authorizationRequest: message({ allowedHeaders: ListStringMatcher, headersToAdd: list(HeaderValue) }),
    authorizationResponse: message({
      allowedUpstreamHeaders: ListStringMatcher,
      allowedUpstreamHeadersToAppend: ListStringMatcher,
      allowedClientHeaders: ListStringMatcher,
      allowedClientHeadersOnSuccess: ListStringMatcher,
      dynamicMetadataFromHeaders: ListStringMatcher,
    }),
  },
  ['serverUri'],
);
export type HttpService = z.infer<typeof HttpService>;

const BufferSettings = messageRequiring(
  { maxRequestBytes: uint32(), allowPartialMessage: bool(), packAsBytes: bool() },
  ['maxRequestBytes'],
);
export type BufferSettings = z.infer<typeof BufferSettings>;

const RuntimeFeatureFlag = message({ defaultValue: bool(), runtimeKey: string() });
const API_VERSIONS = ['AUTO', 'V2', 'V3'] as const;

/** envoy.extensions.filters.http.ext_authz.v3.ExtAuthz */
export const ExtAuthz = message({
  grpcService: GrpcService,
  httpService: HttpService,
  transportApiVersion: enumeration(API_VERSIONS),
  failureModeAllow: bool(),
  failureModeAllowHeaderAdd: bool(),
  withRequestBody: BufferSettings,
  clearRouteCache: bool(),
  statusOnError: HttpStatus,
  validateMutations: bool(),
  metadataContextNamespaces: list(nonEmpty()),
  filterEnabled: RuntimeFractionalPercent,
  filterEnabledMetadata: MetadataMatcher,
  denyAtDisable: RuntimeFeatureFlag,
  includePeerCertificate: bool(),
  includeTlsSession: bool(),
  statPrefix: string(),
  bootstrapMetadataLabelsKey: string(),
  allowedHeaders: ListStringMatcher,
  disallowedHeaders: ListStringMatcher,
  encodeRawHeaders: bool(),
  enableDynamicMetadataIngestion: bool(),
  maxDeniedResponseBodyBytes: uint32(),
});
export type ExtAuthz = z.infer<typeof ExtAuthz>;

const CheckSettings = message({
  contextExtensions: map(string()),
  disableRequestBodyBuffering: bool(),
  withRequestBody: BufferSettings,
  grpcService: GrpcService,
  httpService: HttpService,
});
export type CheckSettings = z.infer<typeof CheckSettings>;

/** envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute */
export const ExtAuthzPerRoute = message({ disabled: bool(), checkSettings: CheckSettings });
export type ExtAuthzPerRoute = z.infer<typeof ExtAuthzPerRoute>;

/** envoy.extensions.filters.network.ext_authz.v3.ExtAuthz */
export const NetworkExtAuthz = messageRequiring(
  {
    statPrefix: nonEmpty(),
    grpcService: GrpcService,
    failureModeAllow: bool(),
    includePeerCertificate: bool(),
    includeTlsSession: bool(),
    transportApiVersion: enumeration(API_VERSIONS),
    filterEnabledMetadata: MetadataMatcher,
    bootstrapMetadataLabelsKey: string(),
    sendTlsAlertOnDenial: bool(),
  },
  ['statPrefix', 'grpcService'],
);
export type NetworkExtAuthz = z.infer<typeof NetworkExtAuthz>;
