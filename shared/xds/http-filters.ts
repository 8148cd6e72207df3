/**
 * Configuration of HTTP filters that the control plane writes and proxies read, by the name of Envoy's message: once in
 * a connection manager's list of filters, once in typed_per_filter_config. A filter that only a proxy knows describes
 * its messages in its own folder (edge-proxy/http/filters); they pass through here unread.
 */
import type { z } from 'zod';
import { DnsCacheConfig } from './cluster.ts';
import { FractionalPercent, RuntimeFractionalPercent, StringMatcher } from './core.ts';
import { ExtAuthz } from './filters/ext-authz.ts';
import { HeaderMutation, HeaderMutationPerRoute } from './filters/header-mutation.ts';
import { STATS_TYPE, StatsConfig } from './filters/istio-stats.ts';
import { JwtAuthentication, JwtPerRoute } from './filters/jwt-authn.ts';
import { LocalRateLimit } from './filters/local-ratelimit.ts';
import { MISSING_HTTP_TYPE, Missing } from './filters/missing.ts';
import { Wasm } from './filters/wasm.ts';
import { bool, duration, list, map, message, messageRequiring, nonEmpty, openAny, string, uint32 } from './message.ts';
import { HttpRbac } from './rbac.ts';

/** envoy.extensions.filters.http.buffer.v3.Buffer */
export const Buffer = messageRequiring({ maxRequestBytes: uint32() }, ['maxRequestBytes']);
export type Buffer = z.infer<typeof Buffer>;
/** envoy.extensions.filters.http.buffer.v3.BufferPerRoute */
export const BufferPerRoute = message({ disabled: bool(), buffer: Buffer });
export type BufferPerRoute = z.infer<typeof BufferPerRoute>;

/** envoy.extensions.filters.http.cors.v3.Cors */
export const Cors = message({});
/** envoy.extensions.filters.http.cors.v3.CorsPolicy */
export const CorsPolicy = message({
  allowOriginStringMatch: list(StringMatcher),
  allowMethods: string(),
  allowHeaders: string(),
  exposeHeaders: string(),
  maxAge: string(),
  allowCredentials: bool(),
  filterEnabled: RuntimeFractionalPercent,
  forwardNotMatchingPreflights: bool(),
});
export type CorsPolicy = z.infer<typeof CorsPolicy>;

/** envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig */
export const DynamicForwardProxy = messageRequiring({ dnsCacheConfig: DnsCacheConfig }, ['dnsCacheConfig']);

/** envoy.extensions.filters.http.fault.v3.HTTPFault, of a connection manager and of a route */
export const HttpFault = message({
  delay: message({ fixedDelay: duration(), headerDelay: message({}), percentage: FractionalPercent }),
  abort: message({
    httpStatus: uint32(),
    grpcStatus: uint32(),
    headerAbort: message({}),
    percentage: FractionalPercent,
  }),
});
export type HttpFault = z.infer<typeof HttpFault>;

/** envoy.extensions.filters.http.grpc_stats.v3.FilterConfig */
export const GrpcStats = message({
  emitFilterState: bool(),
  individualMethodStatsAllowlist: message({
    services: list(messageRequiring({ name: nonEmpty(), methodNames: list(nonEmpty()) }, ['name', 'methodNames'])),
  }),
  statsForAllMethods: bool(),
  enableUpstreamStats: bool(),
  replaceDotsInGrpcServiceName: bool(),
});
export type GrpcStats = z.infer<typeof GrpcStats>;

/** envoy.extensions.filters.http.grpc_web.v3.GrpcWeb */
export const GrpcWeb = message({});

const IstioHeaders = message({ skipExternalClusters: bool() });
const PeerDiscovery = list(message({ istioHeaders: IstioHeaders, workloadDiscovery: message({}) }));
const PeerPropagation = list(message({ istioHeaders: IstioHeaders }));

/** io.istio.http.peer_metadata.Config (envoyproxy/envoy contrib/istio), the methods that Istio's sidecars and gateways use. */
export const PeerMetadata = message({
  downstreamDiscovery: PeerDiscovery,
  upstreamDiscovery: PeerDiscovery,
  downstreamPropagation: PeerPropagation,
  upstreamPropagation: PeerPropagation,
});
export type PeerMetadata = z.infer<typeof PeerMetadata>;

/** envoy.extensions.filters.http.rbac.v3.RBACPerRoute; without `rbac` the filter judges nothing. */
export const RbacPerRoute = message({ rbac: HttpRbac });
export type RbacPerRoute = z.infer<typeof RbacPerRoute>;

/** envoy.extensions.filters.http.router.v3.Router */
export const Router = message({ suppressEnvoyHeaders: bool() });

/** Messages of a connection manager's filters that are read here. */
export const FILTER_MESSAGES: Readonly<Record<string, z.ZodType>> = {
  'envoy.extensions.filters.http.rbac.v3.RBAC': HttpRbac,
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz': ExtAuthz,
  'envoy.extensions.filters.http.fault.v3.HTTPFault': HttpFault,
  'envoy.extensions.filters.http.cors.v3.Cors': Cors,
  'envoy.extensions.filters.http.buffer.v3.Buffer': Buffer,
  'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig': DynamicForwardProxy,
  'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication': JwtAuthentication,
  'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig': GrpcStats,
  'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb': GrpcWeb,
  'envoy.extensions.filters.http.router.v3.Router': Router,
  'envoy.extensions.filters.http.wasm.v3.Wasm': Wasm,
  'io.istio.http.peer_metadata.Config': PeerMetadata,
  [STATS_TYPE]: StatsConfig,
  [MISSING_HTTP_TYPE]: Missing,
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit': LocalRateLimit,
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation': HeaderMutation,
};

/** Messages of typed_per_filter_config that are read here. */
export const ROUTE_MESSAGES: Readonly<Record<string, z.ZodType>> = {
  'envoy.extensions.filters.http.fault.v3.HTTPFault': HttpFault,
  'envoy.extensions.filters.http.cors.v3.CorsPolicy': CorsPolicy,
  'envoy.extensions.filters.http.rbac.v3.RBACPerRoute': RbacPerRoute,
  'envoy.extensions.filters.http.buffer.v3.BufferPerRoute': BufferPerRoute,
  'envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig': JwtPerRoute,
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit': LocalRateLimit,
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute': HeaderMutationPerRoute,
};

export const FilterConfigAny = openAny(FILTER_MESSAGES);

/** The name of the wrapper message that any filter's per-route configuration may come in. */
export const WRAPPER_TYPE = 'envoy.config.route.v3.FilterConfig';
/** envoy.config.route.v3.FilterConfig */
export const RouteFilterConfig = message({
  config: openAny(ROUTE_MESSAGES, { emptyAllowed: true }),
  isOptional: bool(),
  disabled: bool(),
});
export type RouteFilterConfig = z.infer<typeof RouteFilterConfig>;

/** Per-route configuration by the filter's name in the connection manager. */
export const TypedPerFilterConfig = map(openAny({ ...ROUTE_MESSAGES, [WRAPPER_TYPE]: RouteFilterConfig }));
export type TypedPerFilterConfig = z.infer<typeof TypedPerFilterConfig>;
