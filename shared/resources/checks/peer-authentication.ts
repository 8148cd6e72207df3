import type { Findings } from '../kind.ts';
import type { PeerAuthenticationSpec } from '../schema/peer-authentication.ts';
import { keyPath, Report } from '../violations.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of PeerAuthentication beyond its schema. */
export function checkPeerAuthentication(spec: PeerAuthenticationSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, { selector: spec.selector });
  for (const port of Object.keys(spec.portLevelMtls ?? {})) {
    // CEL's int() takes "+80" and "080" for 80, as a key of a protobuf map they are no number.
    if (!/^[1-9]\d*$/.test(port) && /^[+\d]/.test(port) && Number(port) > 0)
      report.violation(keyPath('spec.portLevelMtls', port), 'port', 'must be a port in plain digits');
  }
  return report.findings;
}
