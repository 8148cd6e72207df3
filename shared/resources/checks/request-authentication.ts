import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { RequestAuthenticationSpec } from '../schema/request-authentication.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of RequestAuthentication beyond its schema: what it applies to. */
export function checkRequestAuthentication(spec: RequestAuthenticationSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  return report.findings;
}
