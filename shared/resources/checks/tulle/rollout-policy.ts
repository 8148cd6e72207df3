import type { Findings } from '../../kind.ts';
import { type RolloutPolicySpec, SECURITY_KINDS } from '../../schema/tulle/rollout-policy.ts';
import { Report } from '../../violations.ts';
import { checkLabels } from '../primitives.ts';

/** Rules of RolloutPolicy beyond its schema. */
export function checkRolloutPolicy(spec: RolloutPolicySpec): Findings {
  const report = new Report();
  checkKinds(report, spec.kinds ?? []);
  checkUnique(report, 'spec.namespaces', spec.namespaces ?? []);
  checkLabels(report, 'spec.selector.matchLabels', spec.selector?.matchLabels);
  let reached = 0;
  for (const [i, { percent, proxies }] of (spec.steps ?? []).entries()) {
    const path = `spec.steps[${i}]`;
    checkLabels(report, `${path}.proxies.matchLabels`, proxies?.matchLabels);
    if (percent === undefined) continue;
    if (percent < reached)
      report.violation(`${path}.percent`, 'rolloutpolicy.order', `must be >= ${reached}, that of a step before it`);
    reached = Math.max(reached, percent);
  }
  return report.findings;
}

function checkKinds(report: Report, kinds: readonly string[]): void {
  checkUnique(report, 'spec.kinds', kinds);
  for (const [i, kind] of kinds.entries())
    if ((SECURITY_KINDS as readonly string[]).includes(kind))
      report.warn(
        `spec.kinds[${i}]`,
        'rolloutpolicy.security',
        `${kind} is a security policy: proxies enforce the policy before a change until it reaches them, and again after it was reverted, so that what a new DENY refuses is allowed meanwhile`,
      );
}

function checkUnique(report: Report, path: string, names: readonly string[]): void {
  for (const [i, name] of names.entries())
    if (names.indexOf(name) !== i) report.violation(`${path}[${i}]`, 'rolloutpolicy.twice', `"${name}" is named twice`);
}
