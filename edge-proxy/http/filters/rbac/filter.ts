/** envoy.filters.http.rbac: role based access control over requests. */
import type { HttpRbac, Rules } from '../../../../shared/xds/rbac.ts';
import type { LocalReply, RequestContext } from '../../request/request-context.ts';
import type { FilterUse } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';
import { allows, compileRules } from './engine.ts';
import { recordShadow } from './shadow.ts';
import { type CountVerdict, shadowCounters } from './stats.ts';

/** Of the dynamic metadata that shadow rules write. */
const NAME = 'envoy.filters.http.rbac';

/** Compiled rules. */
export interface Judge {
  /** Records what shadow rules say, and counts. @returns the answer to a request that is denied */
  deny(request: RequestContext, count: CountVerdict): LocalReply | undefined;
  /** The verdict alone. */
  allows(request: RequestContext): boolean;
}

/** What judges in the place of the filter's own rules; undefined: nothing does. */
export interface RouteRbac {
  readonly judge: Judge | undefined;
}

/**
 * @param routeConfig rules in the place of the filter's own
 * @param count default: nothing reads the counters
 * @throws ConfigError
 */
export function createRbacFilter(
  config: HttpRbac,
  routeConfig: FilterUse<RouteRbac>['routeConfig'],
  count: CountVerdict = () => {},
): FilterHooks {
  const own = compileHttpRbac(config);
  const judgeOf = (request: RequestContext) => {
    const override = routeConfig(request);
    return override ? override.judge : own;
  };
  return {
    onRequestHead: ({ request }) => judgeOf(request)?.deny(request, count),
    stillAllows: ({ request }) => judgeOf(request)?.allows(request) ?? true,
  };
}

/** Undefined where the config enforces and shadows nothing. Throws ConfigError. */
export function compileHttpRbac(config: HttpRbac): RouteRbac['judge'] {
  const engine = config.rules && compileRules(config.rules, 'rules');
  const shadow = config.shadowRules && compileRules(config.shadowRules, 'shadowRules');
  if (!engine && !shadow) return undefined;
  const denials = denialReplies(config.rules);
  const prefix = config.shadowRulesStatPrefix ?? '';
  const { shadowAllowed, shadowDenied } = shadowCounters(prefix);
  return {
    deny: (request, count) => {
      if (shadow) count(recordShadow(shadow, NAME, prefix, request) ? shadowAllowed : shadowDenied);
      if (!engine) return undefined;
      const policy = engine.match(request);
      const allowed = allows(engine.action, policy);
      count(allowed ? 'allowed' : 'denied');
      return allowed ? undefined : denials.get(policy);
    },
    allows: (request) => engine === undefined || allows(engine.action, engine.match(request)),
  };
}

/** One reply per policy, made now; '' is "none matched". */
function denialReplies(rules: Rules | undefined): Map<string, LocalReply> {
  return new Map(
    ['', ...Object.keys(rules?.policies ?? {})].map((name) => [
      name,
      {
        status: 403,
        body: 'RBAC: access denied',
        details: `rbac_access_denied_matched_policy[${(name || 'none').replace(/\s/g, '_')}]`,
      },
    ]),
  );
}
