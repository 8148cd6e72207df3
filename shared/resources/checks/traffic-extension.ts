import type { Findings } from '../kind.ts';
import type { TrafficExtensionSpec } from '../schema/traffic-extension.ts';
import { Report } from '../violations.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of TrafficExtension beyond its schema: what it applies to. */
export function checkTrafficExtension(spec: TrafficExtensionSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  return report.findings;
}
