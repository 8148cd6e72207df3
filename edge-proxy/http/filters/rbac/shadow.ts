/** What shadow rules say, which decides nothing: dynamic metadata, as Envoy's RBAC filters write it. */
import type { IncomingTraffic } from '../../../attributes/record.ts';
import { allows, type Engine } from './engine.ts';

/**
 * @param filter of whose metadata it becomes a part
 * @param prefix of its keys (shadow_rules_stat_prefix)
 * @returns whether the rules would let the traffic pass
 */
export function recordShadow(engine: Engine, filter: string, prefix: string, traffic: IncomingTraffic): boolean {
  const policy = engine.match(traffic);
  const allowed = allows(engine.action, policy);
  traffic.metadata ??= {};
  const values = (traffic.metadata[filter] ??= {});
  values[`${prefix}shadow_engine_result`] = allowed ? 'allowed' : 'denied';
  if (policy !== '') values[`${prefix}shadow_effective_policy_id`] = policy;
  return allowed;
}
