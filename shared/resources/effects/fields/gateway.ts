/** What the fields of Gateway do. */
import { type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const SERVERS = 'control/compile/gateway/gateway-server.test.ts';
const TLS = 'control/compile/gateway/gateway-tls.test.ts';

export const GATEWAY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.selector{}': inForce('golden:gw-http'),
  'spec.servers[].hosts[]': inForce(SERVERS, 'golden:gw-namespace-hosts'),
  'spec.servers[].name': inForce('golden:gw-two-gateways'),
  'spec.servers[].bind': inForce(SERVERS, 'tests/interop/compiled/egress.test.ts', 'golden:gw-tcp'),
  'spec.servers[].defaultEndpoint': reported(
    'has no effect, as in Istio: gateways send requests to the destinations of their routes',
  ),
  'spec.servers[].port.**': inForce(SERVERS, 'golden:gw-port-conflict', 'golden:gw-https-simple'),
  'spec.servers[].port.targetPort': reported('has no effect, as in Istio: it is not used any more'),
  'spec.servers[].tls.**': inForce(SERVERS, TLS, 'golden:gw-https-simple'),
  'spec.servers[].tls.mode': inForce('golden:gw-auto-passthrough', 'golden:gw-passthrough', TLS),
  'spec.servers[].tls.httpsRedirect': inForce(SERVERS),
  'spec.servers[].tls.subjectAltNames[]': inForce(SERVERS),
  'spec.servers[].tls.verifyCertificateHash[]': inForce(SERVERS),
  'spec.servers[].tls.verifyCertificateSpki[]': inForce(SERVERS),
};
