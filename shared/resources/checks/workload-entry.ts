/** Rules of WorkloadEntry, also as a ServiceEntry's endpoint. */

import type { Findings } from '../kind.ts';
import type { WorkloadEntrySpec } from '../schema/common.ts';
import { Report } from '../violations.ts';
import { checkLabels, fqdnViolation, isIp } from './primitives.ts';

export function checkWorkloadEntry(spec: WorkloadEntrySpec): Findings {
  const report = new Report();
  checkEndpoint(report, 'spec', spec, 'name');
  return report.findings;
}

/** @param address may it be a domain name, or only an IP address (a unix socket is always allowed) */
export function checkEndpoint(report: Report, path: string, spec: WorkloadEntrySpec, address: 'name' | 'ip'): void {
  if (!spec.address) {
    if (!spec.network) report.violation(`${path}.address`, 'required', 'is required unless network is set');
    else
      report.warn(
        `${path}.address`,
        'workloadentry.address',
        'is empty: reachable only through the gateway of its network',
      );
  } else report.violationIf(`${path}.address`, 'workloadentry.address', addressViolation(spec.address, address));
  checkLabels(report, `${path}.labels`, spec.labels);
}

/** What a unix socket must be the schema's rules say. */
function addressViolation(text: string, kind: 'name' | 'ip'): string | undefined {
  if (text.startsWith('unix://') || isIp(text)) return undefined;
  return kind === 'ip' ? `"${text}" is not an IP address` : fqdnViolation(text);
}
