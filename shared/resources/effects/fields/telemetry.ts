/** What the fields of Telemetry do. */
import { attributesWithoutValue, type CelOptions, celRefusal, parseCel } from '../../../cel/expression.ts';
import { type FieldTable, inForce, partly, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const COMPILED = 'control/compile/telemetry/telemetry.test.ts';
const RUN = 'tests/e2e/telemetry.test.ts';
const TRACE_HEADERS = 'tests/interop/downstream/trace-headers.test.ts';
const CEL = 'tests/interop/cel/access-log-filter.test.ts';

/** Proxies make no spans yet: what is about their content or their way has nothing to act on. */
const NO_SPANS = 'has no effect yet: proxies send no spans';

/** Of an expression: why it fails always, or in part. */
const celEffect =
  (options: CelOptions, consequence: string) =>
  (value: unknown): string | undefined => {
    const expression = String(value);
    if (expression === '') return undefined;
    const refusal = celRefusal(expression, options);
    if (refusal !== undefined) return `${refusal}: ${consequence}`;
    const missing = attributesWithoutValue(parseCel(expression, options));
    return missing.length === 0 ? undefined : `names ${missing.join(', ')}: proxies have no such attribute`;
  };

export const TELEMETRY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.selector.**': inForce('golden:telemetry-access-log', COMPILED),
  'spec.targetRef.**': inForce(COMPILED),
  'spec.targetRefs[].**': inForce(COMPILED),
  'spec.accessLogging[].disabled': inForce('golden:telemetry-access-log-disable', COMPILED, RUN),
  'spec.accessLogging[].match.mode': inForce('golden:telemetry-access-log', COMPILED),
  'spec.accessLogging[].providers[].name': inForce('golden:telemetry-access-log', COMPILED, RUN),
  'spec.accessLogging[].filter.expression': partly(
    "an expression that Envoy's CEL does not take holds for no request",
    celEffect({}, 'it holds for no request'),
    'golden:telemetry-access-log',
    CEL,
    RUN,
  ),
  'spec.metrics[].providers[].name': inForce('golden:telemetry-metrics', COMPILED),
  'spec.metrics[].reportingInterval': inForce('golden:telemetry-metrics-disable'),
  'spec.metrics[].overrides[].disabled': inForce('golden:telemetry-metrics', COMPILED, RUN),
  'spec.metrics[].overrides[].match.metric': inForce('golden:telemetry-metrics', COMPILED),
  'spec.metrics[].overrides[].match.mode': inForce('golden:telemetry-metrics', COMPILED),
  'spec.metrics[].overrides[].match.customMetric': partly(
    "proxies make Istio's standard metrics only",
    (name) =>
      STANDARD.has(String(name).replace(/^istio_/, '')) ? undefined : 'has no effect: proxies make no such metric',
    COMPILED,
  ),
  'spec.metrics[].overrides[].tagOverrides{}.operation': inForce('golden:telemetry-metrics', COMPILED, RUN),
  'spec.metrics[].overrides[].tagOverrides{}.value': partly(
    'an expression that cannot be used gives "unknown"',
    celEffect({ strings: true }, 'the tag is "unknown"'),
    'golden:telemetry-metrics',
    RUN,
  ),
  'spec.tracing[].match.mode': inForce('golden:telemetry-tracing', COMPILED),
  'spec.tracing[].providers[].name': partly(
    'requests are sampled and their context is sent on; no spans are sent yet',
    () => 'proxies send no spans yet: requests are sampled, and their trace headers are sent on',
    'golden:telemetry-tracing',
    TRACE_HEADERS,
    RUN,
  ),
  'spec.tracing[].randomSamplingPercentage': inForce('golden:telemetry-tracing', RUN),
  'spec.tracing[].disableSpanReporting': inForce('golden:telemetry-tracing', COMPILED),
  'spec.tracing[].useRequestIdForTraceSampling': inForce('golden:telemetry-tracing-otel-http'),
  'spec.tracing[].disableContextPropagation': inForce(COMPILED, TRACE_HEADERS, RUN),
  'spec.tracing[].customTags{}.**': reported(NO_SPANS),
  'spec.tracing[].enableIstioTags': reported(NO_SPANS),
};

const STANDARD: ReadonlySet<string> = new Set([
  'requests_total',
  'request_duration_milliseconds',
  'request_bytes',
  'response_bytes',
  'request_messages_total',
  'response_messages_total',
  'tcp_connections_opened_total',
  'tcp_connections_closed_total',
  'tcp_received_bytes_total',
  'tcp_sent_bytes_total',
]);
