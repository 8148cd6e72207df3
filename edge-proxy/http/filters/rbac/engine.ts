/** RBAC rules as one decision (envoy.config.rbac.v3.RBAC), over requests and over connections. */
import type { Rules } from '../../../../shared/xds/rbac.ts';
import type { IncomingTraffic } from '../../../attributes/record.ts';
import { ConfigFault } from '../../../config-error.ts';
import { compilePermission, compilePrincipal, type RbacMatch, some } from './matchers.ts';

export interface Engine {
  action: 'ALLOW' | 'DENY' | 'LOG';
  /** The id of the first policy that matches, '' none. By name, as Envoy orders them. */
  match(traffic: IncomingTraffic): string;
}

/** @param policy the one that matched, '' none */
export function allows(action: Engine['action'], policy: string): boolean {
  return action === 'LOG' || (action === 'ALLOW' ? policy !== '' : policy === '');
}

/** Throws ConfigFault. */
export function compileRules(rules: Rules, path: string): Engine {
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
    return (traffic) => permitted(traffic) && identified(traffic);
  });
  return {
    action: rules.action ?? 'ALLOW',
    match: (traffic) => {
      for (let i = 0; i < matches.length; i++) if (matches[i]!(traffic)) return names[i]!;
      return '';
    },
  };
}
