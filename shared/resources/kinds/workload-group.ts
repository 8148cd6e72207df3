import { checkWorkloadGroup } from '../checks/workload-group.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { WorkloadGroupSpec } from '../schema/workload-group.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const workloadGroup = defineIstioKind({
  kind: 'WorkloadGroup',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'workloadgroups',
  shortNames: ['wg'],
  spec: WorkloadGroupSpec,
  columns: [AGE],
  description:
    "Workloads that are no Pods and come and go: what each one's WorkloadEntry begins with, and how its health is found out.",
  check: checkWorkloadGroup,
  specRequired: true,
});
export type WorkloadGroup = ResourceOf<typeof workloadGroup>;
