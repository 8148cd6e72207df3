import { checkWorkloadEntry } from '../checks/workload-entry.ts';
import { AGE, column } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { WorkloadEntrySpec } from '../schema/common.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const workloadEntry = defineIstioKind({
  kind: 'WorkloadEntry',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'workloadentries',
  shortNames: ['we'],
  spec: WorkloadEntrySpec,
  columns: [AGE, column('Address', '.spec.address', 'Address of the workload')],
  description:
    'One workload that is no Pod, as a virtual machine: its address, labels and identity. A ServiceEntry selects it.',
  check: checkWorkloadEntry,
  specRequired: true,
});
export type WorkloadEntry = ResourceOf<typeof workloadEntry>;
