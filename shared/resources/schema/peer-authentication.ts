/** The schema of PeerAuthentication's spec, field for field (istio.io/latest/docs/reference/config/security/peer_authentication). */
import type { z } from 'zod';
import { selector } from './common.ts';
import * as rules from './rules/rules.ts';
import { map, object, oneOfNames, withRules } from './vocabulary.ts';

export const MutualTls = object({
  mode: oneOfNames(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']).describe(
    'STRICT: mTLS only. PERMISSIVE: mTLS and plain text. DISABLE: plain text only. UNSET: as in the namespace or the mesh. Default: UNSET, PERMISSIVE where neither sets a mode.',
  ),
});
export type MutualTls = z.infer<typeof MutualTls>;

export const PeerAuthenticationSpec = withRules(
  object({
    mtls: MutualTls.describe('Which connections the workloads accept. Default: as the namespace or the mesh has it.'),
    portLevelMtls: withRules(map(MutualTls, undefined, 1), rules.portKeys).describe(
      'The same for single ports of the workload (not of the service), by number. Needs a selector.',
    ),
    selector,
  }),
  rules.portsNeedSelector,
);
export type PeerAuthenticationSpec = z.infer<typeof PeerAuthenticationSpec>;
