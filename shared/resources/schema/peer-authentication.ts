/** The schema of PeerAuthentication's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector } from './common.ts';
import { map, object, oneOfNames } from './vocabulary.ts';

export const MutualTls = object({
  mode: oneOfNames(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']),
});
export type MutualTls = z.infer<typeof MutualTls>;

export const PeerAuthenticationSpec = object({
  mtls: MutualTls,
  portLevelMtls: map(MutualTls),
  selector: PolicySelector,
});
export type PeerAuthenticationSpec = z.infer<typeof PeerAuthenticationSpec>;
