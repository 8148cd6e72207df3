/** What the fields of ServiceEntry do. */
import { type FieldTable, inForce } from '../field-table.ts';
import { STATUS } from './status.ts';

export const SERVICE_ENTRY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.hosts[]': inForce('golden:sidecar-absent', 'golden:vs-star-host'),
  'spec.addresses[]': inForce('golden:se-none-wildcard', 'control/compile/sidecar/outbound-addresses.test.ts'),
  'spec.exportTo[]': inForce('golden:se-exportto'),
  'spec.location': inForce('golden:dr-auto-mtls'),
  'spec.ports[].**': inForce('golden:gw-two-gateways', 'control/compile/cluster/protocols.test.ts'),
  'spec.resolution': inForce('golden:se-dynamic-dns', 'tests/interop/compiled/sidecar-listeners.test.ts'),
  'spec.subjectAltNames[]': inForce('golden:dr-auto-mtls'),
  'spec.workloadSelector.**': inForce('tests/proxy/proxy-config.test.ts', 'control/compile/node/workloads.test.ts'),
  'spec.endpoints[].address': inForce('golden:mix-loopback'),
  'spec.endpoints[].labels{}': inForce('golden:dr-subset-policy'),
  'spec.endpoints[].locality': inForce('golden:dr-locality-default'),
  'spec.endpoints[].network': inForce('golden:se-unix-and-network'),
  'spec.endpoints[].ports{}': inForce('golden:mix-loopback'),
  'spec.endpoints[].serviceAccount': inForce('golden:authz-allow-http'),
  'spec.endpoints[].weight': inForce('tests/e2e/on-demand.test.ts'),
};
