/** The schema of VirtualService's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { Destination } from './common.ts';
import { atMostOne, bool, duration, integer, list, map, number, object, oneOfNames, string } from './vocabulary.ts';

export const StringMatch = atMostOne(
  object({
    exact: string(),
    prefix: string(),
    regex: string(),
  }),
  ['exact', 'prefix', 'regex'],
);
export type StringMatch = z.infer<typeof StringMatch>;

export const CorsPolicy = object({
  allowCredentials: bool(),
  allowHeaders: list(string()),
  allowMethods: list(string()),
  allowOrigin: list(string()),
  allowOrigins: list(StringMatch),
  exposeHeaders: list(string()),
  maxAge: duration(1),
  unmatchedPreflights: oneOfNames(['UNSPECIFIED', 'FORWARD', 'IGNORE']),
});
export type CorsPolicy = z.infer<typeof CorsPolicy>;

export const Delegate = object({
  name: string(),
  namespace: string(),
});
export type Delegate = z.infer<typeof Delegate>;

export const Body = atMostOne(
  object({
    bytes: string(),
    string: string(),
  }),
  ['string', 'bytes'],
);
export type Body = z.infer<typeof Body>;

export const DirectResponse = object(
  {
    body: Body,
    status: integer({ min: 0, max: 4294967295 }),
  },
  ['status'],
);
export type DirectResponse = z.infer<typeof DirectResponse>;

export const Percent = object({
  value: number(),
});
export type Percent = z.infer<typeof Percent>;

export const Abort = atMostOne(
  object({
    grpcStatus: string(),
    http2Error: string(),
    httpStatus: integer(),
    percentage: Percent,
  }),
  ['httpStatus', 'grpcStatus', 'http2Error'],
);
export type Abort = z.infer<typeof Abort>;

export const Delay = atMostOne(
  object({
    exponentialDelay: duration(1),
    fixedDelay: duration(1),
    percent: integer(),
    percentage: Percent,
  }),
  ['fixedDelay', 'exponentialDelay'],
);
export type Delay = z.infer<typeof Delay>;

export const HttpFaultInjection = object({
  abort: Abort,
  delay: Delay,
});
export type HttpFaultInjection = z.infer<typeof HttpFaultInjection>;

export const HeaderOperations = object({
  add: map(string()),
  remove: list(string()),
  set: map(string()),
});
export type HeaderOperations = z.infer<typeof HeaderOperations>;

export const Headers = object({
  request: HeaderOperations,
  response: HeaderOperations,
});
export type Headers = z.infer<typeof Headers>;

export const HttpMatchRequest = object({
  authority: StringMatch,
  gateways: list(string()),
  headers: map(StringMatch),
  ignoreUriCase: bool(),
  method: StringMatch,
  name: string(),
  port: integer({ min: 0, max: 4294967295 }),
  queryParams: map(StringMatch),
  scheme: StringMatch,
  sourceLabels: map(string()),
  sourceNamespace: string(),
  statPrefix: string(),
  uri: StringMatch,
  withoutHeaders: map(StringMatch),
});
export type HttpMatchRequest = z.infer<typeof HttpMatchRequest>;

export const HttpMirrorPolicy = object(
  {
    destination: Destination,
    percentage: Percent,
  },
  ['destination'],
);
export type HttpMirrorPolicy = z.infer<typeof HttpMirrorPolicy>;

export const HttpRedirect = atMostOne(
  object({
    authority: string(),
    derivePort: oneOfNames(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']),
    port: integer({ min: 0, max: 4294967295 }),
    prefixRewrite: string(),
    redirectCode: integer({ min: 0, max: 4294967295 }),
    scheme: string(),
    uri: string(),
  }),
  ['port', 'derivePort'],
);
export type HttpRedirect = z.infer<typeof HttpRedirect>;

export const HttpRetry = object({
  attempts: integer(),
  backoff: duration(1),
  perTryTimeout: duration(1),
  retryIgnorePreviousHosts: bool(),
  retryOn: string(),
  retryRemoteLocalities: bool(),
});
export type HttpRetry = z.infer<typeof HttpRetry>;

export const UriRegexRewrite = object({
  match: string(),
  rewrite: string(),
});
export type UriRegexRewrite = z.infer<typeof UriRegexRewrite>;

export const HttpRewrite = object({
  authority: string(),
  uri: string(),
  uriRegexRewrite: UriRegexRewrite,
});
export type HttpRewrite = z.infer<typeof HttpRewrite>;

export const HttpRouteDestination = object(
  {
    destination: Destination,
    headers: Headers,
    weight: integer(),
  },
  ['destination'],
);
export type HttpRouteDestination = z.infer<typeof HttpRouteDestination>;

export const HttpRoute = object({
  corsPolicy: CorsPolicy,
  delegate: Delegate,
  directResponse: DirectResponse,
  fault: HttpFaultInjection,
  headers: Headers,
  match: list(HttpMatchRequest),
  mirror: Destination,
  mirror_percent: integer({ min: 0, max: 4294967295 }),
  mirrorPercent: integer({ min: 0, max: 4294967295 }),
  mirrorPercentage: Percent,
  mirrors: list(HttpMirrorPolicy),
  name: string(),
  redirect: HttpRedirect,
  retries: HttpRetry,
  rewrite: HttpRewrite,
  route: list(HttpRouteDestination),
  timeout: duration(1),
});
export type HttpRoute = z.infer<typeof HttpRoute>;

export const L4MatchAttributes = object({
  destinationSubnets: list(string()),
  gateways: list(string()),
  port: integer({ min: 0, max: 4294967295 }),
  sourceLabels: map(string()),
  sourceNamespace: string(),
  sourceSubnet: string(),
});
export type L4MatchAttributes = z.infer<typeof L4MatchAttributes>;

export const RouteDestination = object(
  {
    destination: Destination,
    weight: integer(),
  },
  ['destination'],
);
export type RouteDestination = z.infer<typeof RouteDestination>;

export const TcpRoute = object({
  match: list(L4MatchAttributes),
  route: list(RouteDestination),
});
export type TcpRoute = z.infer<typeof TcpRoute>;

export const TlsMatchAttributes = object(
  {
    destinationSubnets: list(string()),
    gateways: list(string()),
    port: integer({ min: 0, max: 4294967295 }),
    sniHosts: list(string()),
    sourceLabels: map(string()),
    sourceNamespace: string(),
  },
  ['sniHosts'],
);
export type TlsMatchAttributes = z.infer<typeof TlsMatchAttributes>;

export const TlsRoute = object(
  {
    match: list(TlsMatchAttributes),
    route: list(RouteDestination),
  },
  ['match'],
);
export type TlsRoute = z.infer<typeof TlsRoute>;

export const VirtualServiceSpec = object({
  exportTo: list(string()),
  gateways: list(string()),
  hosts: list(string()),
  http: list(HttpRoute),
  tcp: list(TcpRoute),
  tls: list(TlsRoute),
});
export type VirtualServiceSpec = z.infer<typeof VirtualServiceSpec>;
