import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { TrafficExtensionSpec } from '../schema/traffic-extension.ts';

/** Rules of TrafficExtension beyond its schema. */
export function checkTrafficExtension(_spec: TrafficExtensionSpec): Findings {
  return new Report().findings;
}
