/**
 * The http rules of a route form -> Envoy routes, in the order and form Istio generates them
 * (istio.io/latest/docs/reference/config/networking/virtual-service). Pure: rules and one proxy in, routes out.
 */
import type { Destination } from '../../../shared/resources/schema/common.ts';
import type { HttpRetry, HttpRouteDestination, Percent } from '../../../shared/resources/schema/virtual-service.ts';
import type { ClusterWeight, HashPolicy, Route, RouteAction } from '../../../shared/xds/route.ts';
import type { HttpMatch, HttpRule } from '../../mesh/routes/route-form.ts';
import type { Finding } from '../output/finding.ts';
import { isCatchAll, type MatchScope, matchAppliesTo, translateMatch } from './http-match.ts';
import {
  type PerFilterConfig,
  parts,
  protoDuration,
  translateCors,
  translateFault,
  translateHeaders,
  translateRedirect,
  translateRetries,
} from './http-policies.ts';

export interface RouteContext extends MatchScope {
  /** MeshConfig.defaultHttpRetryPolicy: retries of routes that name none. */
  defaultRetries?: HttpRetry | undefined;
  /** `outbound|port|subset|host`; `port` undefined: the destination names none. */
  clusterName(host: string, subset: string | undefined, port: number | undefined): string;
  /** How a destination's balancer hashes requests; same arguments. Absent, or undefined: it does not. */
  hashPolicy?(host: string, subset: string | undefined, port: number | undefined): HashPolicy | undefined;
  /** Takes why a rule could not be translated. */
  onError?(finding: Finding): void;
}

/** The answer to clients for a rule that could not be translated; the reason is reported to operators only. */
export const UNTRANSLATABLE = 'this route is misconfigured';

/**
 * The routes this proxy gets of rules, in their order. Empty: none of them concerns the proxy. Never throws: a rule
 * that cannot be translated (validation should have refused it) answers 500, so that it neither vanishes
 * nor falls through to another rule, and the rest of the mesh stays up.
 */
export function translateHttpRoutes(rules: readonly HttpRule[], ctx: RouteContext): Route[] {
  const routes: Route[] = [];
  for (const rule of rules) {
    for (const match of rule.match?.length ? rule.match : [undefined]) {
      // No request has claims before RequestAuthentication is compiled; as headers they would mean something else.
      if (match && !matchAppliesTo(match, ctx)) continue;
      const route = translateRule(rule, match, ctx);
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

function translateRule(rule: HttpRule, match: HttpMatch | undefined, ctx: RouteContext): Route {
  const headers = translateHeaders(rule.headers);
  const name = (rule.name ?? '') + (match?.name ? `.${match.name}` : '');
  const route: Route = {
    ...(name && { name }),
    ...(match?.statPrefix && { statPrefix: match.statPrefix }),
    match: translateMatch(match, rule.wholeSegments),
    metadata: { filterMetadata: { istio: { config: rule.origin.config } } },
    ...headers.operations,
  };
  try {
    if (rule.violation) throw new Error(rule.violation);
    if (rule.redirect) route.redirect = translateRedirect(rule.redirect, ctx.port);
    else if (rule.directResponse) route.directResponse = directResponse(rule.directResponse);
    else forward(rule, headers.authority, ctx, route);
    const perFilter = perFilterConfig(rule);
    if (perFilter) route.typedPerFilterConfig = perFilter;
  } catch (error) {
    delete route.route;
    ctx.onError?.({
      about: rule.origin.resource,
      reason: 'RuleNotTranslated',
      message: (error as Error).message,
    });
    route.directResponse = { status: 500, body: { inlineString: UNTRANSLATABLE } };
  }
  route.decorator = { operation: operationOf(route, rule, ctx.port) };
  return route;
}

function directResponse(response: NonNullable<HttpRule['directResponse']>): NonNullable<Route['directResponse']> {
  const { status, body } = response;
  if (body?.bytes !== undefined) return { status, body: { inlineBytes: body.bytes } };
  return body?.string !== undefined ? { status, body: { inlineString: body.string } } : { status };
}

/** Fills `route.route`; a single destination's header operations join those of the route. */
function forward(rule: HttpRule, headerAuthority: string | undefined, ctx: RouteContext, route: Route): void {
  const timeout = rule.timeout ? protoDuration(rule.timeout) : '0s';
  const hashes = hashPolicies(rule, ctx);
  const retryPolicy = translateRetries(rule.retries ?? ctx.defaultRetries, hashes.length > 0);
  const mirrors = mirrorPolicies(rule, ctx);
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
  if (destinations.length === 1) toOne(destinations[0]!, ctx, route, action);
  else action.weightedClusters = { clusters: weighted(destinations, ctx) };
  route.route = action;
}

function toOne(to: HttpRouteDestination, ctx: RouteContext, route: Route, action: RouteAction): void {
  action.cluster = clusterOf(to.destination, ctx);
  const { operations, authority } = translateHeaders(to.headers);
  for (const key of ['requestHeadersToAdd', 'responseHeadersToAdd'] as const)
    if (operations[key]) route[key] = [...(route[key] ?? []), ...operations[key]];
  for (const key of ['requestHeadersToRemove', 'responseHeadersToRemove'] as const)
    if (operations[key]) route[key] = [...(route[key] ?? []), ...operations[key]];
  if (authority && !action.hostRewriteLiteral) action.hostRewriteLiteral = authority;
}

function weighted(destinations: HttpRouteDestination[], ctx: RouteContext): ClusterWeight[] {
  const clusters = destinations
    .filter((to) => (to.weight ?? 0) > 0)
    .map((to): ClusterWeight => {
      const { operations, authority } = translateHeaders(to.headers);
      return {
        name: clusterOf(to.destination, ctx),
        weight: to.weight ?? 0,
        ...operations,
        ...(authority && { hostRewriteLiteral: authority }),
      };
    });
  if (clusters.length === 0) throw new Error('route has no destination with a weight');
  return clusters;
}

/** Those of all destinations, in their order. */
function hashPolicies(rule: HttpRule, ctx: RouteContext): HashPolicy[] {
  return (rule.route ?? []).flatMap(
    ({ destination: to }) => ctx.hashPolicy?.(to.host, to.subset, to.port?.number) ?? [],
  );
}

function pathRewrite({ rewrite }: HttpRule): Pick<RouteAction, 'prefixRewrite' | 'regexRewrite'> {
  const regex = rewrite?.uriRegexRewrite;
  if (regex?.match) return { regexRewrite: { pattern: { regex: regex.match }, substitution: regex.rewrite ?? '' } };
  return rewrite?.uri ? { prefixRewrite: rewrite.uri } : {};
}

type MirrorPolicy = NonNullable<RouteAction['requestMirrorPolicies']>[number];

function mirrorPolicies(rule: HttpRule, ctx: RouteContext): MirrorPolicy[] {
  const deprecated = rule.mirrorPercent ?? rule.mirror_percent;
  const single = rule.mirrorPercentage ?? (deprecated === undefined ? undefined : { value: deprecated });
  return [
    ...(rule.mirror ? mirrorPolicy(rule.mirror, single, ctx) : []),
    ...(rule.mirrors ?? []).flatMap((mirror) => mirrorPolicy(mirror.destination, mirror.percentage, ctx)),
  ];
}

/** No percentage: every request; zero: none. */
function mirrorPolicy(to: Destination, percent: Percent | undefined, ctx: RouteContext): MirrorPolicy[] {
  if (percent && !percent.value) return [];
  return [
    {
      cluster: clusterOf(to, ctx),
      runtimeFraction: { defaultValue: percent ? parts(percent) : { numerator: 100 } },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    },
  ];
}

function clusterOf(to: Destination, ctx: RouteContext): string {
  return ctx.clusterName(to.host, to.subset, to.port?.number);
}

function perFilterConfig(rule: HttpRule): PerFilterConfig | undefined {
  const fault = translateFault(rule.fault);
  const config: PerFilterConfig = {
    ...(fault && { 'envoy.filters.http.fault': fault }),
    ...(rule.corsPolicy && { 'envoy.filters.http.cors': translateCors(rule.corsPolicy) }),
  };
  return Object.keys(config).length > 0 ? config : undefined;
}

/** What traces call the route: the destination where there is but one, else the resource of the rule; then the path. */
function operationOf(route: Route, { origin }: HttpRule, port: number): string {
  const { prefix, path, safeRegex } = route.match;
  const where = path ?? safeRegex?.regex ?? (prefix === undefined ? '/*' : `${prefix}*`);
  const parts = route.route?.cluster?.split('|');
  return parts?.length === 4 ? `${parts[3]}:${parts[1]}${where}` : `${origin.resource.metadata.name}:${port}${where}`;
}
