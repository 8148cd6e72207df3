/** What the fields of Sidecar do. */
import { differs, type FieldTable, inForce, refused, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const LISTENERS = 'control/compile/sidecar/egress-listeners.test.ts';
const RUNNING = 'tests/interop/compiled/sidecar-listeners.test.ts';
const OUTBOUND_ONLY = 'has no effect, as in Istio: what the application speaks is the protocol of its port';
const INGRESS = 'control/compile/sidecar/ingress-listeners.test.ts';

export const SIDECAR_FIELDS: FieldTable = {
  ...STATUS,
  'spec.workloadSelector.**': inForce('golden:authz-scopes', 'control/compile/scope/scope.test.ts'),
  'spec.egress[].hosts[]': inForce('golden:sidecar-registry-only', 'control/compile/scope/scope.test.ts'),
  'spec.egress[].port.**': inForce('golden:sidecar-egress-port', LISTENERS, RUNNING),
  'spec.egress[].port.targetPort': reported('has no effect, as in Istio: it is not used any more'),
  'spec.egress[].bind': inForce('golden:sidecar-egress-port', LISTENERS, RUNNING),
  'spec.egress[].captureMode': inForce('golden:sidecar-egress-port', LISTENERS),
  'spec.ingress[].**': inForce('golden:sidecar-ingress', INGRESS),
  'spec.ingress[].port.targetPort': reported('has no effect, as in Istio: it is not used any more'),
  'spec.ingress[].captureMode': inForce('golden:sidecar-ingress', INGRESS),
  'spec.ingress[].connectionPool.**': inForce(INGRESS),
  'spec.ingress[].connectionPool.http.h2UpgradePolicy': reported(OUTBOUND_ONLY),
  'spec.ingress[].connectionPool.http.useClientProtocol': reported(OUTBOUND_ONLY),
  'spec.ingress[].tls.**': inForce(INGRESS, RUNNING),
  ...Object.fromEntries(
    ['httpsRedirect', 'subjectAltNames[]', 'credentialName', 'credentialNames[]', 'tlsCertificates.**'].map((field) => [
      `spec.ingress[].tls.${field}`,
      refused('as in Istio: a sidecar reads files', INGRESS),
    ]),
  ),
  'spec.ingress[].tls.caCertCredentialName': reported('has no effect: Secrets are sent to gateways only; name files'),
  'spec.inboundConnectionPool.**': inForce(INGRESS),
  'spec.inboundConnectionPool.http.h2UpgradePolicy': reported(OUTBOUND_ONLY),
  'spec.inboundConnectionPool.http.useClientProtocol': reported(OUTBOUND_ONLY),
  'spec.outboundTrafficPolicy.mode': inForce('golden:sidecar-registry-only', 'tests/e2e/http-proxy.test.ts'),
  'spec.outboundTrafficPolicy.egressProxy.**': differs(
    'Its service need not be among the hosts of `egress`.',
    'control/compile/scope/scope.test.ts',
    RUNNING,
  ),
};
