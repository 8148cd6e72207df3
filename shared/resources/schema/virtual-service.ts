/** The schema of VirtualService's spec, field for field (istio.io/latest/docs/reference/config/networking/virtual-service). */
import type { z } from 'zod';
import { Destination } from './common.ts';
import {
  atMostOne,
  base64,
  bool,
  duration,
  integer,
  list,
  map,
  nullable,
  number,
  object,
  oneOfNames,
  string,
} from './vocabulary.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const StringMatch = atMostOne(
  object({
    exact: string().describe('The whole text, with its case.'),
    prefix: string().describe('How the text begins, with its case.'),
    regex: string().describe('Regular expression (RE2 syntax) for the whole text, at most 1024 characters.'),
  }),
  ['exact', 'prefix', 'regex'],
);
export type StringMatch = z.infer<typeof StringMatch>;

export const CorsPolicy = object({
  allowCredentials: nullable(bool()).describe('Answer with Access-Control-Allow-Credentials: true. Default: false.'),
  allowHeaders: list(string()).describe('Request headers a page may send.'),
  allowMethods: list(string()).describe('Methods a page may use.'),
  allowOrigin: list(string()).describe('Deprecated: use allowOrigins. Origins, exactly, or "*".'),
  allowOrigins: list(StringMatch).describe('Origins whose pages may call; any entry matches.'),
  exposeHeaders: list(string()).describe('Response headers a page may read.'),
  maxAge: duration(1).describe('How long a browser may keep the answer to a preflight request.'),
  unmatchedPreflights: oneOfNames(['UNSPECIFIED', 'FORWARD', 'IGNORE']).describe(
    'A preflight request from another origin: FORWARD sends it on to the destination, IGNORE answers it here, without permission. Default: FORWARD.',
  ),
});
export type CorsPolicy = z.infer<typeof CorsPolicy>;

export const Delegate = object({
  name: string().describe('Name of the VirtualService.'),
  namespace: string().describe('Its namespace. Default: that of this VirtualService.'),
});
export type Delegate = z.infer<typeof Delegate>;

export const Body = atMostOne(
  object({
    bytes: base64().describe('The body in base64.'),
    string: string().describe('The body as text.'),
  }),
  ['string', 'bytes'],
);
export type Body = z.infer<typeof Body>;

export const DirectResponse = object(
  {
    body: Body.describe('Body of the answer, at most 1 MiB. Default: none.'),
    status: uint32().describe('Status code of the answer.'),
  },
  ['status'],
);
export type DirectResponse = z.infer<typeof DirectResponse>;

export const Percent = object({
  value: number().describe('Percentage, 0 to 100, in steps of 0.0001.'),
});
export type Percent = z.infer<typeof Percent>;

export const Abort = atMostOne(
  object({
    grpcStatus: string().describe('gRPC status the request is answered with, as UNAVAILABLE.'),
    http2Error: string().describe('Not supported: use httpStatus or grpcStatus.'),
    httpStatus: integer().describe('HTTP status the request is answered with.'),
    percentage: Percent.describe('Share of the requests. Default: 100.'),
  }),
  ['httpStatus', 'grpcStatus', 'http2Error'],
);
export type Abort = z.infer<typeof Abort>;

export const Delay = atMostOne(
  object({
    exponentialDelay: duration(1).describe('Not supported: use fixedDelay.'),
    fixedDelay: duration(1).describe('How long the request is held back before it is sent on.'),
    percent: integer().describe('Deprecated: use percentage. Share of the requests, 0 to 100. Default: 0.'),
    percentage: Percent.describe('Share of the requests. Default: percent, which is 0.'),
  }),
  ['fixedDelay', 'exponentialDelay'],
);
export type Delay = z.infer<typeof Delay>;

export const HttpFaultInjection = object({
  abort: Abort.describe('Answer with an error in place of sending the request on.'),
  delay: Delay.describe('Hold the request back first.'),
});
export type HttpFaultInjection = z.infer<typeof HttpFaultInjection>;

export const HeaderOperations = object({
  add: map(string()).describe('Values that are added beside those there.'),
  remove: list(string()).describe('Headers that are removed.'),
  set: map(string()).describe(
    "Values that replace those there. Values may have the access log's commands, as %REQ(:path)%.",
  ),
});
export type HeaderOperations = z.infer<typeof HeaderOperations>;

export const Headers = object({
  request: HeaderOperations.describe('Before the request is sent on.'),
  response: HeaderOperations.describe('Before the response is sent back.'),
});
export type Headers = z.infer<typeof Headers>;

const gateways = () =>
  list(string().describe('namespace/name or name of a Gateway, or mesh.')).describe(
    'Gateways the match is for, in place of those of the VirtualService.',
  );
const sourceLabels = () =>
  map(string()).describe('Labels of the client workload, which must all be there. Only for traffic within the mesh.');
const sourceNamespace = () => string().describe('Namespace of the client workload. Only for traffic within the mesh.');
const port = () => uint32().describe('Port the client called.');

export const HttpMatchRequest = object({
  authority: StringMatch.describe('The Host header, or :authority, without case.'),
  gateways: gateways(),
  headers: map(StringMatch).describe('Headers by name, lower case; an empty match ({}) requires its presence.'),
  ignoreUriCase: bool().describe('Compare uri without case; exact and prefix only. Default: false.'),
  method: StringMatch.describe('The HTTP method.'),
  name: string().describe('Name of the match, shown behind that of the route in the access log.'),
  port: port(),
  queryParams: map(StringMatch).describe('Query parameters by name; an empty match ({}) requires its presence.'),
  scheme: StringMatch.describe('http or https.'),
  sourceLabels: sourceLabels(),
  sourceNamespace: sourceNamespace(),
  statPrefix: string().describe('Statistics of requests that match are kept under this name. Default: none are.'),
  uri: StringMatch.describe('Path of the request; exact and regex without the query.'),
  withoutHeaders: map(StringMatch).describe('Headers that must not match; an empty match ({}) requires its absence.'),
});
export type HttpMatchRequest = z.infer<typeof HttpMatchRequest>;

export const HttpMirrorPolicy = object(
  {
    destination: Destination.describe('Where copies of the requests go; answers are thrown away.'),
    percentage: Percent.describe('Share of the requests. Default: 100.'),
  },
  ['destination'],
);
export type HttpMirrorPolicy = z.infer<typeof HttpMirrorPolicy>;

export const HttpRedirect = atMostOne(
  object({
    authority: string().describe('Host of the new URL. Default: that of the request.'),
    derivePort: oneOfNames(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']).describe(
      'Port of the new URL: that of its scheme (80, 443), or that of the request.',
    ),
    port: uint32().describe('Port of the new URL.'),
    prefixRewrite: string().describe('Replaces the prefix of the path that the route matched.'),
    redirectCode: uint32().describe('Status code: 301, 302, 303, 307 or 308. Default: 301.'),
    scheme: string().describe('Scheme of the new URL, http or https. Default: that of the request.'),
    uri: string().describe('Path of the new URL, whole. Default: that of the request.'),
  }),
  ['port', 'derivePort'],
);
export type HttpRedirect = z.infer<typeof HttpRedirect>;

export const HttpRetry = object({
  attempts: integer().describe(
    'How often a request that failed is sent again at most; 0 turns retries off. Default: 2, of the mesh config.',
  ),
  backoff: duration(1).describe('Least time before the first retry; it grows with each, with jitter. Default: 25ms.'),
  perTryTimeout: duration(1).describe('Time limit for each attempt, the first too. Default: the timeout of the route.'),
  retryIgnorePreviousHosts: nullable(bool()).describe(
    'Choose an endpoint not tried yet, if there is one. Default: true.',
  ),
  retryOn: string().describe(
    'What is tried again, as Envoy names it, joined by commas: 5xx, gateway-error, reset, connect-failure, unavailable, 503 and so on. Default: connect-failure,refused-stream,unavailable,cancelled.',
  ),
  retryRemoteLocalities: nullable(bool()).describe('Retries may go to other localities. Default: false.'),
});
export type HttpRetry = z.infer<typeof HttpRetry>;

export const UriRegexRewrite = object({
  match: string().describe(
    'Regular expression (RE2 syntax) for the part of the path that is replaced, at most 1024 characters.',
  ),
  rewrite: string().describe('The new text; \\1 to \\9 are the groups of the expression.'),
});
export type UriRegexRewrite = z.infer<typeof UriRegexRewrite>;

export const HttpRewrite = object({
  authority: string().describe('New Host header.'),
  uri: string().describe('New path, or prefix where the match is by prefix.'),
  uriRegexRewrite: UriRegexRewrite.describe('New path by a regular expression. Cannot be combined with uri.'),
});
export type HttpRewrite = z.infer<typeof HttpRewrite>;

const weight = () =>
  integer().describe(
    'Share of the traffic, relative to the sum of the weights. Default: all with one destination, else 0.',
  );

export const HttpRouteDestination = object(
  {
    destination: Destination.describe('Where the request goes.'),
    headers: Headers.describe('Changes to headers, only with this destination.'),
    weight: weight(),
  },
  ['destination'],
);
export type HttpRouteDestination = z.infer<typeof HttpRouteDestination>;

export const HttpRoute = object({
  corsPolicy: CorsPolicy.describe('Answers CORS requests of browsers for pages of other origins.'),
  delegate: Delegate.describe(
    'The rest is decided by another VirtualService, one without hosts. In place of route and redirect.',
  ),
  directResponse: DirectResponse.describe('Answers the request here. In place of route and redirect.'),
  fault: HttpFaultInjection.describe('Injected faults, before anything is sent. No timeouts or retries apply to them.'),
  headers: Headers.describe('Changes to headers.'),
  match: list(HttpMatchRequest).describe(
    'Requests it is for: any entry matches, when all its fields do. Default: every request.',
  ),
  mirror: Destination.describe('Where copies of the requests go too; answers are thrown away.'),
  mirror_percent: nullable(uint32()).describe('Deprecated: use mirrorPercentage.'),
  mirrorPercent: nullable(uint32()).describe('Deprecated: use mirrorPercentage.'),
  mirrorPercentage: Percent.describe('Share of the requests that are copied. Default: 100.'),
  mirrors: list(HttpMirrorPolicy).describe('Several mirrors. Cannot be combined with mirror.'),
  name: string().describe('Name of the route, shown in the access log.'),
  redirect: HttpRedirect.describe('Answers with a redirect. In place of route.'),
  retries: HttpRetry.describe(
    'When and how often a request that failed is sent again. Default: that of the mesh config.',
  ),
  rewrite: HttpRewrite.describe('Changes to path and Host before the request is sent on.'),
  route: list(HttpRouteDestination).describe(
    'Where requests go, by weight. One of route, redirect, directResponse, delegate must be set.',
  ),
  timeout: duration(1).describe('Time limit for the whole request, retries included. Default: none.'),
});
export type HttpRoute = z.infer<typeof HttpRoute>;

const destinationSubnets = () =>
  list(string().describe('IP address or CIDR range.')).describe('Addresses the client called.');

export const L4MatchAttributes = object({
  destinationSubnets: destinationSubnets(),
  gateways: gateways(),
  port: port(),
  sourceLabels: sourceLabels(),
  sourceNamespace: sourceNamespace(),
  sourceSubnet: string().describe('Addresses of the client. Not supported: the field is ignored.'),
});
export type L4MatchAttributes = z.infer<typeof L4MatchAttributes>;

export const RouteDestination = object(
  {
    destination: Destination.describe('Where the connection goes.'),
    weight: weight(),
  },
  ['destination'],
);
export type RouteDestination = z.infer<typeof RouteDestination>;

const connections = () => list(RouteDestination).describe('Where connections go, by weight.');

export const TcpRoute = object({
  match: list(L4MatchAttributes).describe(
    'Connections it is for: any entry matches, when all its fields do. Default: every connection.',
  ),
  route: connections(),
});
export type TcpRoute = z.infer<typeof TcpRoute>;

export const TlsMatchAttributes = object(
  {
    destinationSubnets: destinationSubnets(),
    gateways: gateways(),
    port: port(),
    sniHosts: list(string()).describe(
      'Server names (SNI), *.example.com too; each must lie within the hosts of the VirtualService.',
    ),
    sourceLabels: sourceLabels(),
    sourceNamespace: sourceNamespace(),
  },
  ['sniHosts'],
);
export type TlsMatchAttributes = z.infer<typeof TlsMatchAttributes>;

export const TlsRoute = object(
  {
    match: list(TlsMatchAttributes).describe('Connections it is for: any entry matches, when all its fields do.'),
    route: connections(),
  },
  ['match'],
);
export type TlsRoute = z.infer<typeof TlsRoute>;

export const VirtualServiceSpec = object({
  exportTo: list(string().describe('A namespace, "." for the own one, or "*" for all.')).describe(
    'Namespaces that the routes are visible in. Default: all, or as in the mesh config.',
  ),
  gateways: list(string().describe('namespace/name or name of a Gateway, or mesh for all sidecars.')).describe(
    'Where the routes apply. Default: mesh.',
  ),
  hosts: list(string()).describe(
    "Hosts clients call, *.example.com and IP addresses too; a short name is completed with the rule's own namespace. None in a delegate.",
  ),
  http: list(HttpRoute).describe('Routes of HTTP and terminated HTTPS requests; the first that matches is taken.'),
  tcp: list(TcpRoute).describe('Routes of connections that are neither HTTP nor TLS; the first that matches is taken.'),
  tls: list(TlsRoute).describe('Routes of TLS that is not terminated, by SNI; the first that matches is taken.'),
});
export type VirtualServiceSpec = z.infer<typeof VirtualServiceSpec>;
