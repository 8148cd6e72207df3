/** What the fields of VirtualService do. */
import { differs, type FieldTable, inForce, refused, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const RULES = 'control/compile/routes/http-rules.test.ts';
const L4 = 'control/compile/routes/l4-routes.test.ts';
const ON_THE_WIRE = 'tests/interop/compiled/virtual-service-cases.ts';
const FIELDS = 'control/compile/routes/virtual-service-fields.test.ts';

export const VIRTUAL_SERVICE_FIELDS: FieldTable = {
  ...STATUS,
  'spec.hosts[]': inForce('golden:vs-star-host', 'golden:vs-conflict-mesh'),
  'spec.gateways[]': inForce('golden:gw-two-gateways', 'golden:vs-conflict-gateway'),
  'spec.exportTo[]': inForce('golden:vs-exportto'),
  'spec.http[].name': inForce('golden:vs-delegate'),
  'spec.http[].timeout': inForce('golden:vs-timeout'),
  'spec.http[].delegate.**': inForce('golden:vs-delegate', 'control/mesh/routes/delegate.test.ts'),
  'spec.http[].corsPolicy.**': inForce(RULES, ON_THE_WIRE),
  'spec.http[].corsPolicy.allowHeaders[]': inForce(ON_THE_WIRE),
  'spec.http[].corsPolicy.exposeHeaders[]': inForce(ON_THE_WIRE),
  'spec.http[].corsPolicy.allowOrigin[]': inForce(FIELDS),
  'spec.http[].directResponse.**': inForce('tests/e2e/worker.test.ts', RULES),
  'spec.http[].directResponse.body.bytes': inForce(ON_THE_WIRE),
  'spec.http[].fault.**': inForce(RULES, ON_THE_WIRE),
  'spec.http[].fault.delay.exponentialDelay': differs(
    'the rule is not translated, as its delay is unknown: its requests are answered 500, and it is reported',
  ),
  'spec.http[].fault.abort.http2Error': refused('Envoy injects statuses of HTTP and gRPC alone', RULES),
  'spec.http[].fault.delay.percent': inForce(FIELDS),
  'spec.http[].headers.**': inForce('golden:vs-headers', ON_THE_WIRE),
  'spec.http[].match[].**': inForce('golden:vs-match-headers', RULES, ON_THE_WIRE),
  'spec.http[].match[].headers{}.**': inForce(
    'golden:vs-match-headers',
    'golden:vs-gateway-jwt-claims',
    'tests/interop/compiled/compiled-tokens.test.ts',
  ),
  'spec.http[].match[].withoutHeaders{}.**': inForce('golden:vs-match-headers', 'golden:vs-gateway-jwt-claims'),
  'spec.http[].match[].gateways[]': inForce(RULES),
  'spec.http[].match[].name': inForce(RULES),
  'spec.http[].match[].port': inForce('golden:gw-two-gateways'),
  'spec.http[].match[].statPrefix': inForce(ON_THE_WIRE),
  'spec.http[].match[].uri.**': inForce('golden:vs-rewrite-regex', 'golden:gw-http'),
  'spec.http[].mirror.**': inForce('golden:vs-mirror'),
  'spec.http[].mirror_percent': inForce(FIELDS),
  'spec.http[].mirrorPercent': inForce(FIELDS),
  'spec.http[].mirrorPercentage.**': inForce('golden:vs-mirror'),
  'spec.http[].mirrors[].**': inForce('golden:vs-mirror'),
  'spec.http[].redirect.**': inForce('golden:vs-redirect', ON_THE_WIRE),
  'spec.http[].redirect.prefixRewrite': inForce(ON_THE_WIRE),
  'spec.http[].retries.**': inForce('golden:vs-retries', ON_THE_WIRE),
  'spec.http[].rewrite.**': inForce('golden:vs-rewrite-regex', ON_THE_WIRE, 'tests/e2e/worker.test.ts'),
  'spec.http[].route[].**': inForce('golden:vs-headers', 'golden:vs-weights'),
  'spec.http[].route[].destination.port.**': inForce('golden:gw-two-gateways'),
  'spec.tcp[].**': inForce('golden:vs-tcp', 'golden:vs-tcp-source-labels'),
  'spec.tcp[].match[].gateways[]': inForce('golden:gw-tcp', L4),
  'spec.tcp[].match[].sourceNamespace': inForce(FIELDS),
  'spec.tcp[].match[].sourceSubnet': reported('has no effect, as in Istio: sidecars do not match by source address'),
  'spec.tls[].**': inForce('golden:gw-passthrough', L4),
  'spec.tls[].match[].gateways[]': inForce(FIELDS),
  'spec.tls[].match[].sourceNamespace': inForce(FIELDS),
  'spec.tls[].match[].sourceLabels{}': inForce(FIELDS),
};
