import type { Findings } from '../kind.ts';
import type { ProxyConfigSpec } from '../schema/proxy-config.ts';
import { Report } from '../violations.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of ProxyConfig beyond its schema. */
export function checkProxyConfig(spec: ProxyConfigSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, { selector: spec.selector });
  return report.findings;
}
