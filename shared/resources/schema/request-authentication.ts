/** The schema of RequestAuthentication's spec, field for field (istio.io/latest/docs/reference/config/security/request_authentication). */
import type { z } from 'zod';
import { selector, targetRef, targetRefs } from './common.ts';
import * as rules from './rules/rules.ts';
import { bool, duration, list, object, oneOfNames, string, withRules } from './vocabulary.ts';

export const FromHeader = object(
  {
    name: string({ min: 1 }).describe('Name of the header.'),
    prefix: string().describe('Text before the token, with its space, as "Bearer ". Default: nothing.'),
  },
  ['name'],
);
export type FromHeader = z.infer<typeof FromHeader>;

export const OutputClaimToHeader = object(
  {
    claim: string({ min: 1 }).describe(
      'Name of the claim; dots lead into nested claims. Text, numbers and booleans only.',
    ),
    header: string({ min: 1, pattern: /^[-_A-Za-z0-9]+$/ }).describe(
      'Request header the claim is written to; one that the client sent is removed.',
    ),
  },
  ['header', 'claim'],
);
export type OutputClaimToHeader = z.infer<typeof OutputClaimToHeader>;

const keysUrl = () => withRules(string({ min: 1, max: 2048 }), rules.webUrl);

export const JwtRule = withRules(
  object({
    audiences: list(string({ min: 1 })).describe(
      'A token must name one of these in aud. Default: aud is not looked at.',
    ),
    forwardOriginalToken: bool().describe('Leave the token in the request that is sent on. Default: false.'),
    fromCookies: list(string({ min: 1 })).describe('Cookies the token may be in.'),
    fromHeaders: list(FromHeader).describe(
      'Headers the token may be in. Default: Authorization with prefix "Bearer ".',
    ),
    fromParams: list(string({ min: 1 })).describe('Query parameters the token may be in. Default: access_token.'),
    issuer: string({ min: 1 }).describe('Issuer of the tokens: their iss claim.'),
    jwks: string().describe('The keys (JSON Web Key Set) signatures are verified with, in line.'),
    jwks_uri: keysUrl().describe('Older spelling of jwksUri.'),
    jwksUri: keysUrl().describe(
      "Where the keys are fetched from, http or https. Default: the jwks_uri of the issuer's OpenID discovery document.",
    ),
    outputClaimToHeaders: list(OutputClaimToHeader).describe('Claims of a verified token that are written to headers.'),
    outputPayloadToHeader: string().describe(
      'Header that the payload of a verified token is written to, in base64url. Default: none.',
    ),
    presence: oneOfNames(['OPTIONAL', 'REQUIRED']).describe(
      'Whether a request without token is refused here. Default: OPTIONAL, so that an AuthorizationPolicy decides.',
    ),
    spaceDelimitedClaims: list(string({ min: 1 }), { max: 64 }).describe(
      'Claims whose text is a list separated by spaces, beside scope and permission.',
    ),
    timeout: duration(1).describe('Time limit for fetching the keys. Default: 5s.'),
  }),
  rules.oneKeySource,
);
export type JwtRule = z.infer<typeof JwtRule>;

export const RequestAuthenticationSpec = withRules(
  object({
    jwtRules: list(JwtRule, { max: 4096 }).describe(
      'Tokens that are accepted, one rule an issuer. A token no rule verifies is refused with 401; a request without one passes.',
    ),
    selector,
    targetRef,
    targetRefs,
  }),
  rules.policyTarget,
);
export type RequestAuthenticationSpec = z.infer<typeof RequestAuthenticationSpec>;
