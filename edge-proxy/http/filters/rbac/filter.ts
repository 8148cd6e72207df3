/** envoy.filters.http.rbac: role based access control over requests. */
import type { HttpRbac, Rules } from '../../../../shared/xds/rbac.ts';
import type { LocalReply, RequestContext } from '../../stream.ts';
import type { FilterUse } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';
import { allows, compileRules, type Engine } from './engine.ts';

/** Of the dynamic metadata that shadow rules write. */
const NAME = 'envoy.filters.http.rbac';

/** What judges in the place of the filter's own rules; undefined: nothing does. */
export interface RouteRbac {
  readonly judge: ((request: RequestContext) => LocalReply | undefined) | undefined;
}

/** @param routeConfig rules in the place of the filter's own. Throws ConfigFault. */
export function createRbacFilter(config: HttpRbac, routeConfig: FilterUse<RouteRbac>['routeConfig']): FilterHooks {
  const own = compileHttpRbac(config);
  return {
    onRequestHead: ({ request }) => {
      const override = routeConfig(request);
      return (override ? override.judge : own)?.(request);
    },
  };
}

/** Undefined where the config enforces and shadows nothing. Throws ConfigFault. */
export function compileHttpRbac(config: HttpRbac): RouteRbac['judge'] {
  const engine = config.rules && compileRules(config.rules, 'rules');
  const shadow = config.shadowRules && compileRules(config.shadowRules, 'shadowRules');
  if (!engine && !shadow) return undefined;
  const denials = denialReplies(config.rules);
  const prefix = config.shadowRulesStatPrefix ?? '';
  return (request) => {
    if (shadow) recordShadow(shadow, prefix, request);
    if (!engine) return undefined;
    const policy = engine.match(request);
    return allows(engine.action, policy) ? undefined : denials.get(policy);
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

function recordShadow(engine: Engine, prefix: string, request: RequestContext): void {
  const policy = engine.match(request);
  request.metadata ??= {};
  const values = (request.metadata[NAME] ??= {});
  values[`${prefix}shadow_engine_result`] = allows(engine.action, policy) ? 'allowed' : 'denied';
  if (policy !== '') values[`${prefix}shadow_effective_policy_id`] = policy;
}
