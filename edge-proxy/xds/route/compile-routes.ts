/** RouteConfiguration -> RouteTable: everything a request needs, computed once when the resource arrives. */
import type { Route, RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';
import { compileBody } from '../../http/exchange/local-reply-map.ts';
import type { RequestContext } from '../../http/request/request-context.ts';
import { type CompiledMatch, compileRouteMatch } from '../../http/routing/compile-route-match.ts';
import { compileHostLookup } from '../../http/routing/host-lookup.ts';
import type { ForwardAction, RouteEntry, RouteTable } from '../../http/routing/route-table.ts';
import type { ClockAndRandom } from '../../runtime/runtime.ts';
import { compileOverrides, type OverrideLevel } from '../filter/compile-per-filter.ts';
import type { FilterRegistry } from '../filter/filter-registry.ts';
import { compileForward, compileResponseEdit, compileWeights, type HeaderScope } from './compile-forward.ts';
import { compileRedirect, requestHost } from './compile-redirect.ts';

export { ConfigError } from '../../config-error.ts';

const DEFAULT_DIRECT_BODY_BYTES = 4096;

/** What routes are compiled with. */
export interface RouteDeps {
  readonly env: ClockAndRandom;
  readonly filters: FilterRegistry;
}

interface CompiledRoute {
  match: CompiledMatch;
  entry: RouteEntry;
  /** In the place of `entry`, where each weighted cluster configures filters: the one a draw falls to. */
  draw: (() => RouteEntry) | undefined;
}
export interface CompiledHost {
  routes: readonly CompiledRoute[];
  /** Answers plaintext requests where the virtual host requires TLS. */
  toHttps: RouteEntry | undefined;
  /** ... but not those of internal clients. */
  internalMayStay: boolean;
}

/** Throws ConfigError naming the field, for anything this proxy cannot do; the table before it stays in use. */
export function compileRouteConfiguration(config: RouteConfiguration, deps: RouteDeps): RouteTable {
  if (config.vhds) throw new ConfigError('vhds', 'needs a route configuration that comes by discovery');
  const hosts = (config.virtualHosts ?? []).map((host, i) => ({
    domains: host.domains,
    path: `virtualHosts[${i}]`,
    value: compileVirtualHost(config, host, `virtualHosts[${i}]`, deps),
  }));
  return routeTable(config, compileHostLookup(hosts, config.ignorePortInHostMatching ?? false));
}

/** The table of a configuration. @param find the virtual host of an authority */
export function routeTable(
  config: RouteConfiguration,
  find: (authority: string) => CompiledHost | undefined,
): RouteTable {
  return {
    name: config.name ?? '',
    internalOnly: config.internalOnlyHeaders?.map((name) => name.toLowerCase()),
    match: (request) => {
      const host = find(request.authority);
      if (!host) return null;
      if (host.toHttps && !cameByHttps(request)) {
        if (!host.internalMayStay || request.headers.get('x-envoy-internal') !== 'true') return host.toHttps;
      }
      const { routes } = host;
      for (let i = 0; i < routes.length; i++) {
        const route = routes[i]!;
        if (route.match.matches(request)) return route.draw === undefined ? route.entry : route.draw();
      }
      return null;
    },
  };
}

/** As in Envoy by x-forwarded-proto, which says the transport: the `:scheme` of HTTP/2 is what the client claims. */
function cameByHttps({ headers, scheme }: RequestContext): boolean {
  return (headers.get('x-forwarded-proto') ?? scheme) === 'https';
}

/** @param path of the host in the configuration, for errors. @throws ConfigError naming the field */
export function compileVirtualHost(
  config: RouteConfiguration,
  host: VirtualHost,
  path: string,
  deps: RouteDeps,
): CompiledHost {
  return {
    routes: (host.routes ?? []).map((route, i) =>
      compileRoute(config, host, route, path, `${path}.routes[${i}]`, deps),
    ),
    toHttps: (host.requireTls ?? 'NONE') === 'NONE' ? undefined : httpsRedirect(host),
    internalMayStay: host.requireTls === 'EXTERNAL_ONLY',
  };
}

function httpsRedirect(host: VirtualHost): RouteEntry {
  const location = (request: RequestContext) => `https://${requestHost(request, 'https', false)}${request.path}`;
  return {
    name: '',
    virtualHost: host.name,
    action: { kind: 'redirect', status: 301, location, editResponse: () => {} },
    includeAttemptCount: false,
  };
}

function compileRoute(
  config: RouteConfiguration,
  host: VirtualHost,
  route: Route,
  hostPath: string,
  path: string,
  deps: RouteDeps,
): CompiledRoute {
  const { env, filters } = deps;
  const match = compileRouteMatch(route.match, `${path}.match`, () => env.random());
  const scope: HeaderScope = {
    levels: [
      { path, config: route },
      { path: hostPath, config: host },
      { path: 'route configuration', config },
    ],
    clock: env,
    mostSpecificWins: config.mostSpecificHeaderMutationsWins ?? false,
    finishResponse: host.includeAttemptCountInResponse
      ? (request, headers) => {
          if (request.attempts > 0) headers.set('x-envoy-attempt-count', String(request.attempts));
        }
      : undefined,
    retryPolicy: host.retryPolicy,
    mirrors: host.requestMirrorPolicies ?? config.requestMirrorPolicies,
  };
  const levels: OverrideLevel[] = [
    { path, config: route.typedPerFilterConfig },
    { path: hostPath, config: host.typedPerFilterConfig },
    { path: 'route configuration', config: config.typedPerFilterConfig },
  ];
  const entry: RouteEntry = {
    name: route.name ?? '',
    virtualHost: host.name,
    action: compileAction(config, route, match, scope, path),
    overrides: compileOverrides(levels, filters),
    includeAttemptCount: host.includeRequestAttemptCount ?? false,
    ...(route.statPrefix && { statPrefix: route.statPrefix }),
    ...(route.decorator?.operation && route.decorator.propagate !== false && { operation: route.decorator.operation }),
  };
  return { match, entry, draw: compileDraw(route, entry, scope, levels, `${path}.route.weightedClusters`, deps) };
}

/** As in Envoy, the weighted cluster is chosen with the route where the filters' configuration depends on it. */
function compileDraw(
  { route: action }: Route,
  entry: RouteEntry,
  scope: HeaderScope,
  levels: readonly OverrideLevel[],
  path: string,
  { env, filters }: RouteDeps,
): CompiledRoute['draw'] {
  const clusters = action?.weightedClusters?.clusters ?? [];
  if (!action || !clusters.some((one) => Object.keys(one.typedPerFilterConfig ?? {}).length > 0)) return undefined;
  const { choices, indexAt } = compileWeights(action, scope, path);
  const entries = choices.map(
    (choice, i): RouteEntry => ({
      ...entry,
      action: { ...(entry.action as ForwardAction), pick: () => choice },
      overrides: compileOverrides(
        [{ path: `${path}.clusters[${i}]`, config: clusters[i]!.typedPerFilterConfig }, ...levels],
        filters,
      ),
    }),
  );
  return () => entries[indexAt(env.random())]!;
}

function compileAction(
  config: RouteConfiguration,
  route: Route,
  match: CompiledMatch,
  scope: HeaderScope,
  path: string,
): RouteEntry['action'] {
  if ([route.route, route.redirect, route.directResponse].filter((one) => one !== undefined).length !== 1)
    throw new ConfigError(path, 'must have exactly one of route, redirect, directResponse');
  if (route.route) return compileForward(route.route, match, scope, `${path}.route`);
  const editResponse = compileResponseEdit(scope);
  if (route.redirect)
    return {
      kind: 'redirect',
      ...compileRedirect(route.redirect, match.prefixLength, `${path}.redirect`),
      editResponse,
    };
  const { status, body, bodyFormat } = route.directResponse!;
  if (status < 200 || status > 599) throw new ConfigError(`${path}.directResponse.status`, 'must be 200 to 599');
  const limit = config.maxDirectResponseBodySizeBytes ?? DEFAULT_DIRECT_BODY_BYTES;
  return {
    kind: 'direct',
    status,
    body: directBody(body, limit, `${path}.directResponse.body`),
    format: bodyFormat && compileBody(bodyFormat, `${path}.directResponse.bodyFormat`, scope.clock),
    editResponse,
  };
}

type Body = NonNullable<Route['directResponse']>['body'];

function directBody(body: Body, limit: number, path: string): string {
  if (body?.filename !== undefined) throw new ConfigError(`${path}.filename`, 'is not supported');
  let text = body?.inlineString ?? '';
  if (body?.inlineBytes !== undefined) {
    try {
      const bytes = Uint8Array.from(atob(body.inlineBytes), (char) => char.charCodeAt(0));
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw new ConfigError(`${path}.inlineBytes`, 'must be UTF-8 text in base64');
    }
  }
  if (new TextEncoder().encode(text).length > limit) throw new ConfigError(path, `is longer than ${limit} bytes`);
  return text;
}
