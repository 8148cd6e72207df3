/** Rules of WorkloadEntry, also where it stands as a ServiceEntry's endpoint. */
import { keyPath, Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { WorkloadEntrySpec } from '../schema/common.ts';
import { checkLabels, dnsLabelFault, fqdnFault, isIp, portFault } from './primitives.ts';

export function checkWorkloadEntry(spec: WorkloadEntrySpec): Findings {
  const report = new Report();
  checkEndpoint(report, 'spec', spec, 'name');
  return report.findings;
}

/** @param address may it be a domain name, or only an IP address (a unix socket is always allowed) */
export function checkEndpoint(report: Report, path: string, spec: WorkloadEntrySpec, address: 'name' | 'ip'): void {
  if (!spec.address) {
    if (!spec.network) report.fault(`${path}.address`, 'required', 'is required unless network is set');
    else
      report.warn(
        `${path}.address`,
        'workloadentry.address',
        'is empty: reachable only through the gateway of its network',
      );
  } else report.faultIf(`${path}.address`, 'workloadentry.address', addressFault(spec, address));
  for (const [name, port] of Object.entries(spec.ports ?? {})) {
    const at = keyPath(`${path}.ports`, name);
    report.faultIf(at, 'port', portFault(port) ?? dnsLabelFault(name));
  }
  checkLabels(report, `${path}.labels`, spec.labels);
}

function addressFault(spec: WorkloadEntrySpec, kind: 'name' | 'ip'): string | undefined {
  const text = spec.address ?? '';
  if (!text.startsWith('unix://')) {
    if (isIp(text)) return undefined;
    return kind === 'ip' ? `"${text}" is not an IP address` : fqdnFault(text);
  }
  const socket = text.slice('unix://'.length);
  if (!/^[/@]/.test(socket)) return 'a unix socket must be an absolute path or an abstract socket (unix://@name)';
  if (socket.endsWith('/')) return 'a unix socket cannot be a folder';
  return spec.ports === undefined ? undefined : 'a unix socket has no ports';
}
