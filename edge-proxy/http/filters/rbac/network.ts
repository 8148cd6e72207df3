/** envoy.filters.network.rbac: role based access control over connections. */
import type { NetworkRbac } from '../../../../shared/xds/rbac.ts';
import type { ConnectionFilter } from '../../../listener/connection-filter.ts';
import { allows, compileRules } from './engine.ts';
import { recordShadow } from './shadow.ts';

/** Of the dynamic metadata that shadow rules write. */
const NAME = 'envoy.filters.network.rbac';

/** Judges a connection before its first byte goes upstream. Throws ConfigError while compiling. */
export function compileNetworkRbac(config: NetworkRbac): ConnectionFilter {
  const engine = config.rules && compileRules(config.rules, 'rules');
  const shadow = config.shadowRules && compileRules(config.shadowRules, 'shadowRules');
  const prefix = config.shadowRulesStatPrefix ?? '';
  return ({ traffic }) => {
    if (shadow) recordShadow(shadow, NAME, prefix, traffic);
    if (!engine) return undefined;
    const policy = engine.match(traffic);
    if (allows(engine.action, policy)) return undefined;
    return { details: `rbac_access_denied_matched_policy[${(policy || 'none').replace(/\s/g, '_')}]` };
  };
}
