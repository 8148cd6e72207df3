/** envoy.config.route.v3 */
import type { z } from 'zod';
import {
  BodyFormat,
  ConfigSource,
  DataSource,
  HeaderValueOption,
  Metadata,
  RegexMatchAndSubstitute,
  RuntimeFractionalPercent,
} from './core.ts';
import { HeaderMatcher } from './header-matcher.ts';
import { TypedPerFilterConfig } from './http-filters.ts';
import { QueryParameterMatcher, RouteMatch } from './match/route-match.ts';
import {
  any,
  bool,
  duration,
  enumeration,
  int64,
  list,
  message,
  messageRequiring,
  nonEmpty,
  string,
  uint32,
} from './message.ts';

export { HeaderMatcher, QueryParameterMatcher, RouteMatch };

export const RetryPolicy = message({
  retryOn: string(),
  numRetries: uint32(),
  perTryTimeout: duration(),
  perTryIdleTimeout: duration(),
  retryHostPredicate: list(
    messageRequiring(
      {
        name: nonEmpty(),
        typedConfig: any({ 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate': message({}) }),
      },
      ['name'],
    ),
  ),
  hostSelectionRetryMaxAttempts: int64(),
  retryPriority: messageRequiring(
    {
      name: nonEmpty(),
      typedConfig: any({
        'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig': message({
          updateFrequency: uint32(),
        }),
      }),
    },
    ['name'],
  ),
  retriableStatusCodes: list(uint32()),
  retriableHeaders: list(HeaderMatcher),
  retriableRequestHeaders: list(HeaderMatcher),
  rateLimitedRetryBackOff: messageRequiring(
    {
      resetHeaders: list(
        messageRequiring({ name: nonEmpty(), format: enumeration(['SECONDS', 'UNIX_TIMESTAMP']) }, ['name']),
      ),
      maxInterval: duration(),
    },
    ['resetHeaders'],
  ),
  retryBackOff: messageRequiring({ baseInterval: duration(), maxInterval: duration() }, ['baseInterval']),
});
export type RetryPolicy = z.infer<typeof RetryPolicy>;

const headerOperations = {
  requestHeadersToAdd: list(HeaderValueOption),
  requestHeadersToRemove: list(nonEmpty()),
  responseHeadersToAdd: list(HeaderValueOption),
  responseHeadersToRemove: list(nonEmpty()),
};

export const ClusterWeight = message({
  name: string(),
  weight: uint32(),
  ...headerOperations,
  typedPerFilterConfig: TypedPerFilterConfig,
  hostRewriteLiteral: string(),
});
export type ClusterWeight = z.infer<typeof ClusterWeight>;

/** One of the sources, and `terminal`: the hash is whole when this one gave any. */
export const HashPolicy = message({
  header: messageRequiring({ headerName: nonEmpty(), regexRewrite: RegexMatchAndSubstitute }, ['headerName']),
  cookie: messageRequiring(
    {
      name: nonEmpty(),
      ttl: duration(),
      path: string(),
      attributes: list(messageRequiring({ name: nonEmpty(), value: string() }, ['name'])),
    },
    ['name'],
  ),
  connectionProperties: message({ sourceIp: bool() }),
  queryParameter: messageRequiring({ name: nonEmpty() }, ['name']),
  filterState: messageRequiring({ key: nonEmpty() }, ['key']),
  terminal: bool(),
});
export type HashPolicy = z.infer<typeof HashPolicy>;

const MirrorPolicies = list(
  messageRequiring(
    {
      cluster: string(),
      runtimeFraction: RuntimeFractionalPercent,
      traceSampled: bool(),
      disableShadowHostSuffixAppend: bool(),
    },
    ['cluster'],
  ),
);

export const RouteAction = message({
  cluster: string(),
  clusterHeader: string(),
  weightedClusters: message({ clusters: list(ClusterWeight), totalWeight: uint32() }),
  clusterNotFoundResponseCode: enumeration(['SERVICE_UNAVAILABLE', 'NOT_FOUND', 'INTERNAL_SERVER_ERROR']),
  prefixRewrite: string(),
  regexRewrite: RegexMatchAndSubstitute,
  pathRewritePolicy: messageRequiring(
    {
      name: nonEmpty(),
      typedConfig: any({
        'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig': messageRequiring(
          { pathTemplateRewrite: nonEmpty() },
          ['pathTemplateRewrite'],
        ),
      }),
    },
    ['name', 'typedConfig'],
  ),
  hostRewriteLiteral: string(),
  hostRewriteHeader: string(),
  hostRewritePathRegex: RegexMatchAndSubstitute,
  autoHostRewrite: bool(),
  appendXForwardedHost: bool(),
  timeout: duration(),
  idleTimeout: duration(),
  retryPolicy: RetryPolicy,
  requestMirrorPolicies: MirrorPolicies,
  priority: enumeration(['DEFAULT', 'HIGH']),
  maxStreamDuration: message({
    maxStreamDuration: duration(),
    grpcTimeoutHeaderMax: duration(),
    grpcTimeoutHeaderOffset: duration(),
  }),
  maxGrpcTimeout: duration(),
  grpcTimeoutOffset: duration(),
  hedgePolicy: message({ hedgeOnPerTryTimeout: bool() }),
  hashPolicy: list(HashPolicy),
  upgradeConfigs: list(
    messageRequiring({ upgradeType: nonEmpty(), enabled: bool(), connectConfig: message({ allowPost: bool() }) }, [
      'upgradeType',
    ]),
  ),
});
export type RouteAction = z.infer<typeof RouteAction>;

export const RedirectAction = message({
  httpsRedirect: bool(),
  schemeRedirect: string(),
  hostRedirect: string(),
  portRedirect: uint32(),
  pathRedirect: string(),
  prefixRewrite: string(),
  regexRewrite: RegexMatchAndSubstitute,
  responseCode: enumeration(['MOVED_PERMANENTLY', 'FOUND', 'SEE_OTHER', 'TEMPORARY_REDIRECT', 'PERMANENT_REDIRECT']),
  stripQuery: bool(),
});
export type RedirectAction = z.infer<typeof RedirectAction>;

export const Route = messageRequiring(
  {
    name: string(),
    statPrefix: string(),
    match: RouteMatch,
    route: RouteAction,
    redirect: RedirectAction,
    directResponse: messageRequiring({ status: uint32(), body: DataSource, bodyFormat: BodyFormat }, ['status']),
    metadata: Metadata,
    decorator: message({ operation: string(), propagate: bool() }),
    typedPerFilterConfig: TypedPerFilterConfig,
    ...headerOperations,
  },
  ['match'],
);
export type Route = z.infer<typeof Route>;

export const VirtualHost = messageRequiring(
  {
    name: nonEmpty(),
    domains: list(nonEmpty()),
    routes: list(Route),
    requireTls: enumeration(['NONE', 'EXTERNAL_ONLY', 'ALL']),
    includeRequestAttemptCount: bool(),
    includeAttemptCountInResponse: bool(),
    retryPolicy: RetryPolicy,
    requestMirrorPolicies: MirrorPolicies,
    typedPerFilterConfig: TypedPerFilterConfig,
    ...headerOperations,
  },
  ['name', 'domains'],
);
export type VirtualHost = z.infer<typeof VirtualHost>;

export const RouteConfiguration = message({
  name: string(),
  virtualHosts: list(VirtualHost),
  /** The virtual hosts are resources of their own, `<name of this configuration>/<virtual host>`. */
  vhds: messageRequiring({ configSource: ConfigSource }, ['configSource']),
  validateClusters: bool(),
  ignorePortInHostMatching: bool(),
  maxDirectResponseBodySizeBytes: uint32(),
  mostSpecificHeaderMutationsWins: bool(),
  internalOnlyHeaders: list(nonEmpty()),
  requestMirrorPolicies: MirrorPolicies,
  typedPerFilterConfig: TypedPerFilterConfig,
  ...headerOperations,
});
export type RouteConfiguration = z.infer<typeof RouteConfiguration>;
