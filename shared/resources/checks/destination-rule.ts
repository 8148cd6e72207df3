/** Rules of DestinationRule beyond its schema. Traffic policies are in traffic-policy.ts. */

import type { Findings } from '../kind.ts';
import type { Resource } from '../resource.ts';
import type { DestinationRuleSpec } from '../schema/destination-rule.ts';
import { Report } from '../violations.ts';
import {
  checkExportTo,
  checkLabels,
  checkSelectorLabels,
  dnsLabelViolation,
  warnNoLabels,
  wildcardDomainViolation,
} from './primitives.ts';
import { checkTrafficPolicy } from './traffic-policy.ts';

export function checkDestinationRule(spec: DestinationRuleSpec, resource: Resource): Findings {
  const report = new Report();
  if (!spec.host) report.violation('spec.host', 'required', 'is required');
  else report.violationIf('spec.host', 'destinationrule.host', wildcardDomainViolation(spec.host));
  if (spec.trafficPolicy) checkTrafficPolicy(report, 'spec.trafficPolicy', spec.trafficPolicy);
  const names = new Set<string>();
  for (const [i, subset] of (spec.subsets ?? []).entries()) {
    const path = `spec.subsets[${i}]`;
    report.violationIf(`${path}.name`, 'destinationrule.subset', dnsLabelViolation(subset.name));
    if (names.has(subset.name))
      report.violation(`${path}.name`, 'destinationrule.subset', `"${subset.name}" is set twice`);
    names.add(subset.name);
    checkLabels(report, `${path}.labels`, subset.labels);
    if (subset.trafficPolicy) checkTrafficPolicy(report, `${path}.trafficPolicy`, subset.trafficPolicy);
  }
  const selector = spec.workloadSelector;
  checkSelectorLabels(report, 'spec.workloadSelector.matchLabels', selector?.matchLabels);
  if (selector) warnNoLabels(report, 'spec.workloadSelector', selector.matchLabels);
  checkExportTo(report, spec.exportTo, resource.metadata?.namespace ?? 'default', { selected: selector !== undefined });
  return report.findings;
}
