/** What the fields of Sidecar do. */
import { type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const EGRESS =
  'has no effect yet: egress listeners of their own are not compiled, hosts are reached at the ports of their services';

export const SIDECAR_FIELDS: FieldTable = {
  ...STATUS,
  'spec.workloadSelector.**': inForce('golden:authz-scopes'),
  'spec.egress[].hosts[]': inForce('golden:sidecar-registry-only', 'tests/e2e/http-proxy.test.ts'),
  'spec.egress[].port.**': reported(EGRESS),
  'spec.egress[].bind': reported(EGRESS),
  'spec.egress[].captureMode': reported(EGRESS),
  'spec.ingress[].**': inForce('golden:authz-allow-http', 'control/compile/node/node.test.ts'),
  'spec.ingress[].port.targetPort': reported('has no effect, as in Istio: it is not used any more'),
  'spec.ingress[].captureMode': reported('has no effect yet: the proxy names its mode in its node metadata'),
  'spec.ingress[].connectionPool.**': reported('has no effect yet: inbound connections have the limits of the proxy'),
  'spec.ingress[].tls.**': reported(
    'has no effect yet: TLS that is not of the mesh ends at a Gateway; mesh mTLS is used',
  ),
  'spec.inboundConnectionPool.**': reported('has no effect yet: inbound connections have the limits of the proxy'),
  'spec.outboundTrafficPolicy.mode': inForce('golden:sidecar-registry-only', 'tests/e2e/http-proxy.test.ts'),
  'spec.outboundTrafficPolicy.egressProxy.**': reported('has no effect yet: unknown destinations are called directly'),
};
