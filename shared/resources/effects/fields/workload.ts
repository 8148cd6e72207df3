/** What the fields of WorkloadEntry and WorkloadGroup do. */
import { type FieldTable, inForce, partly, reported } from '../field-table.ts';
import { hostWithoutEffect } from '../probe.ts';
import { STATUS } from './status.ts';

const WORKLOADS = 'control/compile/node/workloads.test.ts';

export const WORKLOAD_ENTRY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.**': inForce(WORKLOADS, 'tests/proxy/proxy-config.test.ts', 'control/compile/patches/patch.test.ts'),
  'spec.weight': inForce('control/compile/cluster/workload-weight.test.ts'),
};

const PROBE = 'control/compile/node/workload-probe.test.ts';
const PROBED = 'tests/proxy/workload-probe.test.ts';
const NAMES = 'host names are not looked up: the probe is not made';
const REGISTERED = 'control/workloads/registrations.test.ts';

export const WORKLOAD_GROUP_FIELDS: FieldTable = {
  ...STATUS,
  'spec.metadata.**': inForce('control/compile/node/proxy-config.test.ts'),
  'spec.template.serviceAccount': inForce('control/compile/node/proxy-config.test.ts'),
  'spec.template.labels{}': inForce('control/compile/node/proxy-config.test.ts'),
  'spec.template.address': reported('has no effect: the address is that of each machine'),
  ...Object.fromEntries(
    ['ports{}', 'weight', 'network', 'locality'].map((field) => [`spec.template.${field}`, inForce(REGISTERED)]),
  ),
  'spec.probe.**': inForce(PROBE, PROBED),
  'spec.probe.httpGet.host': partly(NAMES, hostWithoutEffect, PROBE),
  'spec.probe.tcpSocket.host': partly(NAMES, hostWithoutEffect, PROBE),
};
