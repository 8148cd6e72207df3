/** envoy.filters.network.rbac: role based access control over connections. */
import type { NetworkRbac } from '../../../../shared/xds/rbac.ts';
import type { ConnectionFilter } from '../../../listener/connection-filter.ts';
import type { Stats } from '../../../telemetry/stats.ts';
import { allows, compileRules } from './engine.ts';
import { recordShadow } from './shadow.ts';
import { shadowCounters, verdictCounts } from './stats.ts';

/** Of the dynamic metadata that shadow rules write. */
const NAME = 'envoy.filters.network.rbac';

/**
 * Judges a connection before its first byte goes upstream. Throws ConfigError while compiling.
 * @param stats absent: nothing reads the counters
 */
export function compileNetworkRbac(config: NetworkRbac, stats?: Stats): ConnectionFilter {
  const engine = config.rules && compileRules(config.rules, 'rules');
  const shadow = config.shadowRules && compileRules(config.shadowRules, 'shadowRules');
  const prefix = config.shadowRulesStatPrefix ?? '';
  const { shadowAllowed, shadowDenied } = shadowCounters(prefix);
  const scope = stats?.scope(`${config.statPrefix.replace(/\.$/, '')}.rbac`);
  const count = scope ? verdictCounts((name) => scope.counter(name)) : () => {};
  return ({ traffic, connection }) => {
    // One that is judged again was counted when it came.
    const counts = connection ? count : () => {};
    if (shadow) counts(recordShadow(shadow, NAME, prefix, traffic) ? shadowAllowed : shadowDenied);
    if (!engine) return undefined;
    const policy = engine.match(traffic);
    const allowed = allows(engine.action, policy);
    counts(allowed ? 'allowed' : 'denied');
    if (allowed) return undefined;
    return { details: `rbac_access_denied_matched_policy[${(policy || 'none').replace(/\s/g, '_')}]` };
  };
}
