/**
 * VirtualService http routes -> Envoy routes, in the order and form Istio generates them
 * (istio.io/latest/docs/reference/config/networking/virtual-service). Pure: one resource and one proxy in, routes out.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ClusterWeight, HashPolicy, Route, RouteAction } from '../../../shared/xds/route.ts';
import type { Finding } from '../output/finding.ts';
import { isCatchAll, type MatchScope, matchAppliesTo, namesClaims, translateMatch } from './virtual-service-match.ts';
import {
  type PerFilterConfig,
  parts,
  protoDuration,
  translateCors,
  translateFault,
  translateHeaders,
  translateRedirect,
  translateRetries,
} from './virtual-service-policies.ts';
import type {
  Destination,
  HttpMatchRequest,
  HttpRetry,
  HttpRoute,
  HttpRouteDestination,
  Percent,
  VirtualServiceSpec,
} from './virtual-service-spec.ts';

export { resolveGatewayName } from './virtual-service-match.ts';
export { DEFAULT_RETRY_POLICY } from './virtual-service-policies.ts';

export interface RouteContext extends MatchScope {
  /** `cluster.local`: completes short host names. */
  domainSuffix: string;
  /** MeshConfig.defaultHttpRetryPolicy: retries of routes that name none. */
  defaultRetries?: HttpRetry | undefined;
  /** `outbound|port|subset|host`; `port` undefined: the destination names none. `host` is already a full name. */
  clusterName(host: string, subset: string | undefined, port: number | undefined): string;
  /** How a destination's balancer hashes requests; same arguments. Absent, or undefined: it does not. */
  hashPolicy?(host: string, subset: string | undefined, port: number | undefined): HashPolicy | undefined;
  /** Takes why a rule could not be translated. */
  onError?(finding: Finding): void;
}

/** The answer to clients for a rule that could not be translated; the reason is reported to operators only. */
export const UNTRANSLATABLE = 'this route is misconfigured';

/** A host as written in a resource of `namespace`, as a full name: `reviews` -> `reviews.default.svc.cluster.local`. */
export function resolveHost(host: string, namespace: string, domainSuffix: string): string {
  return host.includes('.') || host.startsWith('*') ? host : `${host}.${namespace}.svc.${domainSuffix}`;
}

/**
 * The routes this proxy gets of one VirtualService. Empty: none of its rules concerns the proxy. Never throws: a rule
 * that cannot be translated (validation should have refused it) answers 500, so that it neither vanishes
 * nor falls through to another rule, and the rest of the mesh stays up. Delegates are to be merged in before.
 */
export function translateHttpRoutes(vs: Resource, ctx: RouteContext): Route[] {
  const routes: Route[] = [];
  for (const rule of (vs.spec as VirtualServiceSpec | undefined)?.http ?? []) {
    for (const match of rule.match?.length ? rule.match : [undefined]) {
      // No request has claims before RequestAuthentication is compiled; as headers they would mean something else.
      if (match && (namesClaims(match) || !matchAppliesTo(match, namespaceOf(vs), ctx))) continue;
      const route = translateRule(vs, rule, match, ctx);
      routes.push(route);
      if (isCatchAll(route)) return routes;
    }
  }
  return routes;
}

/**
 * The route of a service that no VirtualService covers.
 * @param retries MeshConfig.defaultHttpRetryPolicy
 */
export function defaultRoute(clusterName: string, operation: string, hash?: HashPolicy, retries?: HttpRetry): Route {
  const retryPolicy = translateRetries(retries);
  return {
    name: 'default',
    match: { prefix: '/' },
    route: {
      cluster: clusterName,
      timeout: '0s',
      maxGrpcTimeout: '0s',
      ...(retryPolicy && { retryPolicy }),
      ...(hash && { hashPolicy: [hash] }),
    },
    decorator: { operation },
  };
}

function translateRule(vs: Resource, rule: HttpRoute, match: HttpMatchRequest | undefined, ctx: RouteContext): Route {
  const headers = translateHeaders(rule.headers);
  const name = (rule.name ?? '') + (match?.name ? `.${match.name}` : '');
  const route: Route = {
    ...(name && { name }),
    match: translateMatch(vs, match),
    metadata: {
      filterMetadata: {
        istio: {
          config: `/apis/networking.istio.io/v1/namespaces/${namespaceOf(vs)}/virtual-service/${vs.metadata.name}`,
        },
      },
    },
    ...headers.operations,
  };
  try {
    if (rule.delegate) throw new Error('delegates only to VirtualServices that delegate no further');
    if (rule.redirect) route.redirect = translateRedirect(rule.redirect, ctx.port);
    else if (rule.directResponse) route.directResponse = directResponse(rule.directResponse);
    else forward(vs, rule, headers.authority, ctx, route);
    const perFilter = perFilterConfig(rule);
    if (perFilter) route.typedPerFilterConfig = perFilter;
  } catch (error) {
    delete route.route;
    ctx.onError?.({ about: vs, reason: 'RuleNotTranslated', message: (error as Error).message });
    route.directResponse = { status: 500, body: { inlineString: UNTRANSLATABLE } };
  }
  route.decorator = { operation: operationOf(route, vs, ctx.port) };
  return route;
}

function directResponse(response: NonNullable<HttpRoute['directResponse']>): NonNullable<Route['directResponse']> {
  const { status, body } = response;
  if (body?.bytes !== undefined) return { status, body: { inlineBytes: body.bytes } };
  return body?.string !== undefined ? { status, body: { inlineString: body.string } } : { status };
}

/** Fills `route.route`; a single destination's header operations join those of the route. */
function forward(
  vs: Resource,
  rule: HttpRoute,
  headerAuthority: string | undefined,
  ctx: RouteContext,
  route: Route,
): void {
  const timeout = rule.timeout ? protoDuration(rule.timeout) : '0s';
  const hashes = hashPolicies(vs, rule, ctx);
  const retryPolicy = translateRetries(rule.retries ?? ctx.defaultRetries, hashes.length > 0);
  const mirrors = mirrorPolicies(vs, rule, ctx);
  const authority = rule.rewrite?.authority || headerAuthority;
  const action: RouteAction = {
    timeout,
    maxGrpcTimeout: timeout,
    ...(retryPolicy && { retryPolicy }),
    ...pathRewrite(rule),
    ...(authority && { hostRewriteLiteral: authority }),
    ...(mirrors.length > 0 && { requestMirrorPolicies: mirrors }),
    ...(hashes.length > 0 && { hashPolicy: hashes }),
  };
  const destinations = rule.route ?? [];
  if (destinations.length === 1) toOne(vs, destinations[0]!, ctx, route, action);
  else action.weightedClusters = { clusters: weighted(vs, destinations, ctx) };
  route.route = action;
}

function toOne(vs: Resource, to: HttpRouteDestination, ctx: RouteContext, route: Route, action: RouteAction): void {
  action.cluster = clusterOf(vs, to.destination, ctx);
  const { operations, authority } = translateHeaders(to.headers);
  for (const key of ['requestHeadersToAdd', 'responseHeadersToAdd'] as const)
    if (operations[key]) route[key] = [...(route[key] ?? []), ...operations[key]];
  for (const key of ['requestHeadersToRemove', 'responseHeadersToRemove'] as const)
    if (operations[key]) route[key] = [...(route[key] ?? []), ...operations[key]];
  if (authority && !action.hostRewriteLiteral) action.hostRewriteLiteral = authority;
}

function weighted(vs: Resource, destinations: HttpRouteDestination[], ctx: RouteContext): ClusterWeight[] {
  const clusters = destinations
    .filter((to) => (to.weight ?? 0) > 0)
    .map((to): ClusterWeight => {
      const { operations, authority } = translateHeaders(to.headers);
      return {
        name: clusterOf(vs, to.destination, ctx),
        weight: to.weight ?? 0,
        ...operations,
        ...(authority && { hostRewriteLiteral: authority }),
      };
    });
  if (clusters.length === 0) throw new Error('route has no destination with a weight');
  return clusters;
}

/** Those of all destinations, in their order. */
function hashPolicies(vs: Resource, rule: HttpRoute, ctx: RouteContext): HashPolicy[] {
  return (rule.route ?? []).flatMap(({ destination: to }) => {
    const host = resolveHost(to.host, namespaceOf(vs), ctx.domainSuffix);
    return ctx.hashPolicy?.(host, to.subset, to.port?.number) ?? [];
  });
}

function pathRewrite({ rewrite }: HttpRoute): Pick<RouteAction, 'prefixRewrite' | 'regexRewrite'> {
  const regex = rewrite?.uriRegexRewrite;
  if (regex?.match) return { regexRewrite: { pattern: { regex: regex.match }, substitution: regex.rewrite ?? '' } };
  return rewrite?.uri ? { prefixRewrite: rewrite.uri } : {};
}

type MirrorPolicy = NonNullable<RouteAction['requestMirrorPolicies']>[number];

function mirrorPolicies(vs: Resource, rule: HttpRoute, ctx: RouteContext): MirrorPolicy[] {
  const deprecated = rule.mirrorPercent ?? rule.mirror_percent;
  const single = rule.mirrorPercentage ?? (deprecated === undefined ? undefined : { value: deprecated });
  return [
    ...(rule.mirror ? mirrorPolicy(vs, rule.mirror, single, ctx) : []),
    ...(rule.mirrors ?? []).flatMap((mirror) => mirrorPolicy(vs, mirror.destination, mirror.percentage, ctx)),
  ];
}

/** No percentage: every request; zero: none. */
function mirrorPolicy(vs: Resource, to: Destination, percent: Percent | undefined, ctx: RouteContext): MirrorPolicy[] {
  if (percent && !percent.value) return [];
  return [
    {
      cluster: clusterOf(vs, to, ctx),
      runtimeFraction: { defaultValue: percent ? parts(percent) : { numerator: 100 } },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    },
  ];
}

function clusterOf(vs: Resource, to: Destination, ctx: RouteContext): string {
  return ctx.clusterName(resolveHost(to.host, namespaceOf(vs), ctx.domainSuffix), to.subset, to.port?.number);
}

function perFilterConfig(rule: HttpRoute): PerFilterConfig | undefined {
  const fault = translateFault(rule.fault);
  const config: PerFilterConfig = {
    ...(fault && { 'envoy.filters.http.fault': fault }),
    ...(rule.corsPolicy && { 'envoy.filters.http.cors': translateCors(rule.corsPolicy) }),
  };
  return Object.keys(config).length > 0 ? config : undefined;
}

/** What traces call the route: the destination where there is but one, else the VirtualService; then the path. */
function operationOf(route: Route, vs: Resource, port: number): string {
  const { prefix, path, safeRegex } = route.match;
  const where = path ?? safeRegex?.regex ?? (prefix === undefined ? '/*' : `${prefix}*`);
  const parts = route.route?.cluster?.split('|');
  return parts?.length === 4 ? `${parts[3]}:${parts[1]}${where}` : `${vs.metadata.name}:${port}${where}`;
}

function namespaceOf(vs: Resource): string {
  return vs.metadata.namespace ?? 'default';
}
