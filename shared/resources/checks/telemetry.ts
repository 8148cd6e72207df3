/** Rules of Telemetry beyond its schema (ValidateTelemetry of Istio). */
import { celViolation } from '../../match/cel-syntax.ts';
import type { Findings } from '../kind.ts';
import type { Metric, TelemetrySpec, Tracing } from '../schema/telemetry.ts';
import { keyPath, Report } from '../violations.ts';
import { checkPolicyTargets } from './primitives.ts';

export function checkTelemetry(spec: TelemetrySpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  const { tracing = [] } = spec;
  if (tracing.length > 1) {
    report.warn('spec.tracing', 'telemetry.tracing', 'multiple entries are not supported: only the first is used');
  }
  for (const [i, entry] of tracing.entries()) checkTracing(report, `spec.tracing[${i}]`, entry);
  for (const [i, { filter }] of (spec.accessLogging ?? []).entries()) {
    // An empty expression is none.
    if (filter?.expression)
      report.violationIf(`spec.accessLogging[${i}].filter.expression`, 'cel', celViolation(filter.expression));
  }
  for (const [i, metric] of (spec.metrics ?? []).entries()) checkMetric(report, `spec.metrics[${i}]`, metric);
  return report.findings;
}

function checkTracing(report: Report, path: string, tracing: Tracing): void {
  if ((tracing.providers?.length ?? 0) > 1) {
    report.warn(`${path}.providers`, 'telemetry.tracing', 'multiple providers are not supported: the first is used');
  }
  for (const name of Object.keys(tracing.customTags ?? {})) {
    if (name === '') report.violation(`${path}.customTags[""]`, 'telemetry.tag', 'the name of a tag must not be empty');
  }
}

/** The default operation of an override is UPSERT. */
function checkMetric(report: Report, path: string, metric: Metric): void {
  for (const [i, override] of (metric.overrides ?? []).entries()) {
    for (const [name, tag] of Object.entries(override.tagOverrides ?? {})) {
      const at = keyPath(`${path}.overrides[${i}].tagOverrides`, name);
      if (name === '') report.warn(at, 'telemetry.tag', 'the name of a tag should not be empty');
      const { operation = 'UPSERT', value = '' } = tag;
      if (operation === 'UPSERT' && value === '') {
        report.violation(`${at}.value`, 'required', 'must be set when operation is UPSERT');
      }
    }
  }
}
