import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { TelemetrySpec } from '../schema/telemetry.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of Telemetry beyond its schema: what it applies to. */
export function checkTelemetry(spec: TelemetrySpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  return report.findings;
}
