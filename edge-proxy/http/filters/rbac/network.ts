/** envoy.filters.network.rbac: role based access control over connections. */
import type { NetworkRbac } from '../../../../shared/xds/rbac.ts';
import type { DownstreamInfo } from '../../stream.ts';
import { allows, compileRules } from './engine.ts';

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
    const policy = engine.match({ kind: 'connection', downstream });
    return { allowed: allows(engine.action, policy), policy: policy || 'none' };
  };
}
