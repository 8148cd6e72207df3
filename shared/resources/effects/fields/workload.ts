/** What the fields of WorkloadEntry and WorkloadGroup do. */
import { type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const WORKLOADS = 'control/compile/node/workloads.test.ts';

export const WORKLOAD_ENTRY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.**': inForce(WORKLOADS, 'tests/proxy/proxy-config.test.ts', 'control/compile/patches/patch.test.ts'),
  'spec.weight': inForce(),
};

const UNREGISTERED = reported(
  'has no effect yet: proxies do not register their workload; write it in the WorkloadEntry',
);

export const WORKLOAD_GROUP_FIELDS: FieldTable = {
  ...STATUS,
  'spec.metadata.**': inForce('control/compile/node/proxy-config.test.ts'),
  'spec.template.serviceAccount': inForce('control/compile/node/proxy-config.test.ts'),
  'spec.template.labels{}': inForce('control/compile/node/proxy-config.test.ts'),
  ...Object.fromEntries(
    ['address', 'ports{}', 'weight', 'network', 'locality'].map((field) => [`spec.template.${field}`, UNREGISTERED]),
  ),
  'spec.probe.**': reported('has no effect yet: proxies do not look at the health of their workload'),
};
