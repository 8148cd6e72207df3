import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { PeerAuthenticationSpec } from '../schema/peer-authentication.ts';

/** Rules of PeerAuthentication beyond its schema. */
export function checkPeerAuthentication(_spec: PeerAuthenticationSpec): Findings {
  return new Report().findings;
}
