/** The schema of RequestAuthentication's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector, PolicyTargetReference } from './common.ts';
import { bool, duration, list, object, oneOfNames, string } from './vocabulary.ts';

export const FromHeader = object(
  {
    name: string({ min: 1 }),
    prefix: string(),
  },
  ['name'],
);
export type FromHeader = z.infer<typeof FromHeader>;

export const OutputClaimToHeader = object(
  {
    claim: string({ min: 1 }),
    header: string({ min: 1, pattern: /^[-_A-Za-z0-9]+$/ }),
  },
  ['header', 'claim'],
);
export type OutputClaimToHeader = z.infer<typeof OutputClaimToHeader>;

export const JwtRule = object({
  audiences: list(string({ min: 1 })),
  forwardOriginalToken: bool(),
  fromCookies: list(string({ min: 1 })),
  fromHeaders: list(FromHeader),
  fromParams: list(string({ min: 1 })),
  issuer: string({ min: 1 }),
  jwks: string(),
  jwks_uri: string({ min: 1, max: 2048 }),
  jwksUri: string({ min: 1, max: 2048 }),
  outputClaimToHeaders: list(OutputClaimToHeader),
  outputPayloadToHeader: string(),
  presence: oneOfNames(['OPTIONAL', 'REQUIRED']),
  spaceDelimitedClaims: list(string({ min: 1 }), { max: 64 }),
  timeout: duration(1),
});
export type JwtRule = z.infer<typeof JwtRule>;

export const RequestAuthenticationSpec = object({
  jwtRules: list(JwtRule, { max: 4096 }),
  selector: PolicySelector,
  targetRef: PolicyTargetReference,
  targetRefs: list(PolicyTargetReference, { max: 16 }),
});
export type RequestAuthenticationSpec = z.infer<typeof RequestAuthenticationSpec>;
