/** The match of an http rule -> envoy RouteMatch, and whether a match concerns this proxy at all. */
import { parseClaimRoute } from '../../../shared/match/jwt-claim.ts';
import type { StringMatch } from '../../../shared/resources/schema/virtual-service.ts';
import type { StringMatcher } from '../../../shared/xds/core.ts';
import type { MetadataMatcher } from '../../../shared/xds/match/metadata-matcher.ts';
import type { HeaderMatcher, QueryParameterMatcher, Route, RouteMatch } from '../../../shared/xds/route.ts';
import type { HttpMatch } from '../../mesh/routes/route-form.ts';
import { compare } from '../../mesh/sorted-list.ts';
import { claimMatcherOf } from '../security/claim-matcher.ts';

export interface MatchScope {
  proxyLabels: Record<string, string>;
  proxyNamespace: string;
  /** `mesh` or `namespace/name`. */
  gateway: string;
  port: number;
}

/** Judges what is known before any request: port, gateways, source labels and source namespace. */
export function matchAppliesTo(match: HttpMatch, scope: MatchScope): boolean {
  if (match.port !== undefined && match.port !== 0 && match.port !== scope.port) return false;
  if (match.gateways?.length && !match.gateways.includes(scope.gateway)) return false;
  // Who calls is known only in the mesh: at a gateway the "source" would be the gateway itself.
  for (const [key, value] of Object.entries(match.sourceLabels ?? {}))
    if (scope.proxyLabels[key] !== value) return false;
  return !match.sourceNamespace || match.sourceNamespace === scope.proxyNamespace;
}

/**
 * Envoy's match of requests; undefined (no match given) is everything.
 * @param wholeSegments see `HttpRule`
 */
export function translateMatch(match: HttpMatch | undefined, wholeSegments = false): RouteMatch {
  if (!match) return { prefix: '/' };
  const wanted = Object.entries(match.headers ?? {});
  const unwanted = Object.entries(match.withoutHeaders ?? {});
  const isHeader = ([name]: readonly [string, unknown]) => parseClaimRoute(name) === undefined;
  const headers = [
    ...wanted.filter(isHeader).map(([name, value]) => headerMatcher(name, value)),
    ...unwanted.filter(isHeader).map(([name, value]) => withoutHeader(name, value)),
  ].sort((a, b) => compare(a.name, b.name));
  const dynamicMetadata = [
    ...sortedByName(wanted).flatMap(([name, value]) => claimMatcher(name, value) ?? []),
    ...sortedByName(unwanted).flatMap(([name, value]) => {
      const matcher = claimMatcher(name, value);
      return matcher ? { ...matcher, invert: true } : [];
    }),
  ];
  if (match.method) headers.push(headerMatcher(':method', match.method));
  if (match.authority) headers.push(headerMatcher(':authority', match.authority));
  if (match.scheme) headers.push(headerMatcher(':scheme', match.scheme));
  const queryParameters = Object.entries(match.queryParams ?? {})
    .map(([name, value]) => queryMatcher(name, value))
    .sort((a, b) => compare(a.name, b.name));
  return {
    ...pathMatch(match.uri, wholeSegments),
    caseSensitive: !match.ignoreUriCase,
    ...(headers.length > 0 && { headers }),
    ...(queryParameters.length > 0 && { queryParameters }),
    ...(dynamicMetadata.length > 0 && { dynamicMetadata }),
  };
}

const sortedByName = <T>(entries: readonly (readonly [string, T])[]) => entries.toSorted(([a], [b]) => compare(a, b));

/**
 * `@request.auth.claims.group` and `@request.auth.claims[group][id]` among headers: a claim of the token that jwt_authn has
 * verified, a text or a list of texts. Without a value: the claim is there. Undefined: the name is that of a header.
 */
function claimMatcher(name: string, match: StringMatch): MetadataMatcher | undefined {
  const route = parseClaimRoute(name);
  if (!route) return undefined;
  const stringMatch = stringMatcher(match);
  return claimMatcherOf(
    route.claims,
    stringMatch
      ? { orMatch: { valueMatchers: [{ listMatch: { oneOf: { stringMatch } } }, { stringMatch }] } }
      : { presentMatch: true },
  );
}

/** Nothing behind such a route is ever reached. */
export function isCatchAll(route: Route): boolean {
  const { prefix, pathSeparatedPrefix, safeRegex, headers, queryParameters, dynamicMetadata } = route.match;
  const everyPath = prefix === '/' || pathSeparatedPrefix === '/' || safeRegex?.regex === '*';
  return everyPath && !headers?.length && !queryParameters?.length && !dynamicMetadata?.length;
}

/** Envoy's form of exact / prefix / regex; undefined where only presence is asked. */
export function stringMatcher(match: StringMatch | null): StringMatcher | undefined {
  if (match?.exact !== undefined) return { exact: match.exact };
  if (match?.prefix !== undefined) return { prefix: match.prefix };
  if (match?.regex !== undefined && match.regex !== '*') return { safeRegex: { regex: match.regex } };
  return undefined;
}

function pathMatch(uri: StringMatch | undefined, wholeSegments: boolean): RouteMatch {
  if (uri?.exact !== undefined) return { path: uri.exact };
  if (uri?.regex !== undefined) return { safeRegex: { regex: uri.regex } };
  if (uri?.prefix === undefined) return { prefix: '/' };
  if (wholeSegments && uri.prefix !== '/') return { pathSeparatedPrefix: uri.prefix.replace(/\/$/, '') };
  return { prefix: uri.prefix };
}

function headerMatcher(name: string, match: StringMatch): HeaderMatcher {
  const matcher = stringMatcher(match);
  return matcher ? { name, stringMatch: matcher } : { name, presentMatch: true };
}

/** A header that is not there does not have the value either, so it counts as the empty string. */
function withoutHeader(name: string, match: StringMatch): HeaderMatcher {
  const matcher = headerMatcher(name, match);
  return { ...matcher, invertMatch: true, ...(matcher.stringMatch && { treatMissingHeaderAsEmpty: true }) };
}

function queryMatcher(name: string, match: StringMatch): QueryParameterMatcher {
  const matcher = stringMatcher(match);
  return matcher ? { name, stringMatch: matcher } : { name, presentMatch: true };
}
