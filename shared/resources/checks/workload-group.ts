import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { WorkloadGroupSpec } from '../schema/workload-group.ts';

/** Rules of WorkloadGroup beyond its schema. */
export function checkWorkloadGroup(_spec: WorkloadGroupSpec): Findings {
  return new Report().findings;
}
