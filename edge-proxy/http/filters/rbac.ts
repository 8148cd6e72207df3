/** envoy.filters.http.rbac and its network twin: role based access control over requests and connections. */
import type { HttpRbac, NetworkRbac, Rules } from '../../../shared/xds/rbac.ts';
import { ConfigFault } from '../../config-error.ts';
import type { RouteEntry, RouteRbac } from '../route-table.ts';
import type { DownstreamInfo, HeadFilter, LocalReply, RequestContext } from '../stream.ts';
import { compilePermission, compilePrincipal, type RbacMatch, some } from './rbac-matchers.ts';

const NAME = 'envoy.filters.http.rbac';

interface Engine {
  action: 'ALLOW' | 'DENY' | 'LOG';
  /** The id of the first policy that matches, '' none. By name, as Envoy orders them. */
  match(downstream: DownstreamInfo, request: RequestContext | undefined): string;
}

/** @param route the request's route, looked up once: it may have rules of its own. Throws ConfigFault. */
export function createRbacFilter(config: HttpRbac, route: (request: RequestContext) => RouteEntry | null): HeadFilter {
  const own = compileHttpRbac(config);
  return {
    name: NAME,
    onRequest: (request) => {
      const override = route(request)?.rbac;
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
    const policy = engine.match(request.downstream, request);
    return allows(engine.action, policy) ? undefined : denials.get(policy);
  };
}

export interface NetworkVerdict {
  readonly allowed: boolean;
  /** The policy that decided; `none` where none matched. */
  readonly policy: string;
}

/** Judges a connection before its first byte goes upstream. Throws ConfigFault while compiling. */
export function compileNetworkRbac(config: NetworkRbac): (downstream: DownstreamInfo) => NetworkVerdict {
  const engine = config.rules && compileRules(config.rules, 'rules');
  // Shadow rules decide nothing, but a fault in them is a fault.
  if (config.shadowRules) compileRules(config.shadowRules, 'shadowRules');
  return (downstream) => {
    if (!engine) return { allowed: true, policy: 'none' };
    const policy = engine.match(downstream, undefined);
    return { allowed: allows(engine.action, policy), policy: policy || 'none' };
  };
}

function allows(action: Engine['action'], policy: string): boolean {
  return action === 'LOG' || (action === 'ALLOW' ? policy !== '' : policy === '');
}

function compileRules(rules: Rules, path: string): Engine {
  const names = Object.keys(rules.policies ?? {}).sort();
  // '' stands for "none matched" below.
  if (names[0] === '') throw new ConfigFault(`${path}.policies`, 'a policy must have a name');
  const matches = names.map((name): RbacMatch => {
    const { permissions, principals } = rules.policies![name]!;
    const at = `${path}.policies["${name}"]`;
    const permitted = some(
      (permissions ?? []).map((one, i) => compilePermission(one, `${at}.permissions[${i}]`)),
      `${at}.permissions`,
    );
    const identified = some(
      (principals ?? []).map((one, i) => compilePrincipal(one, `${at}.principals[${i}]`)),
      `${at}.principals`,
    );
    return (downstream, request) => permitted(downstream, request) && identified(downstream, request);
  });
  return {
    action: rules.action ?? 'ALLOW',
    match: (downstream, request) => {
      for (let i = 0; i < matches.length; i++) if (matches[i]!(downstream, request)) return names[i]!;
      return '';
    },
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
  const policy = engine.match(request.downstream, request);
  request.metadata ??= {};
  const values = (request.metadata[NAME] ??= {});
  values[`${prefix}shadow_engine_result`] = allows(engine.action, policy) ? 'allowed' : 'denied';
  if (policy !== '') values[`${prefix}shadow_effective_policy_id`] = policy;
}
