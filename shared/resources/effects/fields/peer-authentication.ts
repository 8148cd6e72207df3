/** What the fields of PeerAuthentication do. */
import { type FieldTable, inForce } from '../field-table.ts';
import { STATUS } from './status.ts';

export const PEER_AUTHENTICATION_FIELDS: FieldTable = {
  ...STATUS,
  'spec.mtls.mode': inForce('golden:pa-strict', 'golden:pa-disable', 'tests/interop/tls/auto-tls.test.ts'),
  'spec.portLevelMtls{}.mode': inForce('golden:pa-port-level'),
  'spec.selector.**': inForce('golden:pa-precedence'),
};
