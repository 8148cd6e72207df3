import { keyPath, Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { PeerAuthenticationSpec } from '../schema/peer-authentication.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of PeerAuthentication beyond its schema. */
export function checkPeerAuthentication(spec: PeerAuthenticationSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, { selector: spec.selector });
  if (!spec.portLevelMtls) return report.findings;
  const ports = Object.keys(spec.portLevelMtls);
  if (ports.length === 0) report.fault('spec.portLevelMtls', 'peerauthentication.ports', 'must have at least one port');
  if (Object.keys(spec.selector?.matchLabels ?? {}).length === 0) {
    report.fault('spec.portLevelMtls', 'peerauthentication.selector', 'needs a selector: ports belong to workloads');
  }
  for (const port of ports) {
    if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65535) {
      report.fault(keyPath('spec.portLevelMtls', port), 'port', 'must be a port, 1 to 65535');
    }
  }
  return report.findings;
}
