/** envoy.filters.http.jwt_authn: requests are asked for tokens, and what a verified token says is passed on. */
import { JWT_AUTHN, type JwtAuthentication, type JwtPerRoute } from '../../../../shared/xds/filters/jwt-authn.ts';
import { ConfigError } from '../../../config-error.ts';
import type { LocalReply, RequestContext } from '../../request/request-context.ts';
import { compileRouteMatch } from '../../routing/compile-route-match.ts';
import type { RequestMatch } from '../../routing/matchers.ts';
import { onlyField } from '../../routing/metadata-matcher.ts';
import type { FilterEnv, FilterUse } from '../definition.ts';
import type { FilterContext, FilterHooks } from '../hooks.ts';
import { type PrincipalOf, Provider, type Run } from './provider.ts';
import { compileRequirement, type Providers, type Requirement } from './requirement.ts';
import { type JwtStats, jwtStats } from './stats.ts';
import { denial, detailsOf, OK, type Status } from './status.ts';

/** What a route configures: no requirement, or the one of that name. */
export type RouteRequirement = { readonly disabled: true } | { readonly name: string };

export function compileRouteRequirement(config: JwtPerRoute, path: string): RouteRequirement {
  if (onlyField(config, path) === 'requirementName') return { name: config.requirementName! };
  if (!config.disabled) throw new ConfigError(`${path}.disabled`, 'can only be true');
  return { disabled: true };
}

interface Rule {
  readonly matches: RequestMatch;
  /** Undefined: nothing is required. */
  readonly requirement: Requirement | undefined;
}

type Answer = LocalReply | undefined;
export interface JwtFilterUse extends Pick<FilterUse<RouteRequirement>, 'routeConfig'> {
  readonly env: Pick<FilterEnv, 'now' | 'random'>;
  /** Absent: nothing reads them. */
  readonly stats?: JwtStats;
  /** Absent: tokens are no JWT-SVIDs. */
  readonly principalOf?: (provider: string) => PrincipalOf;
}

/**
 * Headers that a provider writes are taken out of every request first, also where no token is asked for: nothing but a
 * verified token sets them.
 * @throws ConfigError naming the field
 */
export function createJwtAuthnFilter(config: JwtAuthentication, use: JwtFilterUse): FilterHooks {
  const { env, routeConfig, principalOf, stats = jwtStats(undefined, '') } = use;
  const providers: Providers = new Map(
    Object.entries(config.providers ?? {}).map(([name, one]) => [
      name,
      { provider: new Provider(one, `providers["${name}"]`, stats, principalOf?.(name)), config: one },
    ]),
  );
  const named = new Map(
    Object.entries(config.requirementMap ?? {}).map(([name, one]) => [
      name,
      compileRequirement(one, providers, `requirementMap["${name}"]`),
    ]),
  );
  const rules = compileRules(config, providers, named, env.random);
  const outputs = new Set([...providers.values()].flatMap(({ provider }) => provider.outputHeaders));
  const bypassesPreflight = config.bypassCorsPreflight ?? false;
  const shownOf = config.stripFailureResponse ? stripped : (reply: LocalReply) => reply;

  const allow = (): undefined => {
    stats.allowed.value++;
  };
  const deny = (reply: LocalReply): LocalReply => {
    stats.denied.value++;
    return shownOf(reply);
  };

  const judge = (context: FilterContext, requirement: Requirement): Answer | Promise<Answer> => {
    const { request } = context;
    const run: Run = { request, now: env.now(), metadata: undefined, choosesRoute: false };
    const { path } = request;
    const conclude = (status: Status): Answer => {
      if (run.metadata) addMetadata(request, run.metadata);
      if (status !== OK) return deny(denial(request, status, path));
      if (run.choosesRoute) context.chooseRoute();
      return allow();
    };
    const status = requirement(run);
    return status instanceof Promise ? status.then(conclude) : conclude(status);
  };

  return {
    onRequestHead: (context) => {
      const { request } = context;
      if (outputs.size > 0) request.headers.removeAny(outputs);
      if (bypassesPreflight && isPreflight(request)) {
        stats.corsPreflightBypassed.value++;
        return allow();
      }
      const ofRoute = routeConfig(request);
      if (!ofRoute) {
        for (const { matches, requirement } of rules)
          if (matches(request)) return requirement ? judge(context, requirement) : allow();
        return allow();
      }
      if ('disabled' in ofRoute) return allow();
      const requirement = named.get(ofRoute.name);
      return requirement ? judge(context, requirement) : deny(unknownRequirement(ofRoute.name, [...named.keys()]));
    },
  };
}

function compileRules(
  { rules = [] }: JwtAuthentication,
  providers: Providers,
  named: ReadonlyMap<string, Requirement>,
  random: () => number,
): Rule[] {
  return rules.map(({ match, requires, requirementName }, i) => {
    const path = `rules[${i}]`;
    if (requires && requirementName !== undefined)
      throw new ConfigError(path, 'must have only one of requires, requirementName');
    const { headers = [], queryParameters = [], dynamicMetadata = [] } = match;
    const { matches } = compileRouteMatch(match, `${path}.match`, random);
    // `/` means every request, `OPTIONS *` and CONNECT too, whose path has no slash.
    const isEvery = match.prefix === '/' && headers.length + queryParameters.length + dynamicMetadata.length === 0;
    const requirement =
      requirementName === undefined
        ? requires && compileRequirement(requires, providers, `${path}.requires`)
        : named.get(requirementName);
    if (requirementName !== undefined && !requirement)
      throw new ConfigError(`${path}.requirementName`, `there is no requirement "${requirementName}"`);
    return { matches: isEvery ? () => true : matches, requirement };
  });
}

/** Such a request has no credentials (Fetch, "CORS-preflight request"). */
function isPreflight({ method, headers }: RequestContext): boolean {
  return method === 'OPTIONS' && !!headers.get('origin') && !!headers.get('access-control-request-method');
}

function addMetadata(request: RequestContext, metadata: Record<string, unknown>): void {
  request.metadata ??= {};
  const known = request.metadata[JWT_AUTHN];
  request.metadata[JWT_AUTHN] = known ? { ...known, ...metadata } : metadata;
}

function stripped({ status, details }: LocalReply): LocalReply {
  return { status, body: '', details };
}

function unknownRequirement(name: string, known: readonly string[]): LocalReply {
  const reason = `Wrong requirement_name: ${name}. It should be one of [${[...known].sort().join(',')}]`;
  return { status: 403, body: `Failed JWT authentication: ${reason}`, details: detailsOf(reason) };
}
