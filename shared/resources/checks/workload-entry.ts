import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { WorkloadEntrySpec } from '../schema/common.ts';

/** Rules of WorkloadEntry beyond its schema. */
export function checkWorkloadEntry(_spec: WorkloadEntrySpec): Findings {
  return new Report().findings;
}
