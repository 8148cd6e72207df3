/** What the fields of RequestAuthentication do. */
import { differs, type FieldTable, inForce } from '../field-table.ts';
import { STATUS } from './status.ts';

const COMPILE = 'control/compile/security/request-authentication.test.ts';
const ON_THE_WIRE = 'tests/interop/compiled/compiled-tokens.test.ts';
const FILTER = 'tests/interop/shared-file/themes/theme-jwt-providers.ts';
const RESOLVER = 'control/jwks/key-resolver.test.ts';
const LOCAL = differs(
  'a target that this mesh has no proxies for, as a waypoint, is reported: no token is accepted',
  COMPILE,
);

export const REQUEST_AUTHENTICATION_FIELDS: FieldTable = {
  ...STATUS,
  'spec.selector.**': inForce('golden:reqauth-basic', 'golden:gw-security', COMPILE),
  'spec.targetRef.**': LOCAL,
  'spec.targetRefs[].**': LOCAL,
  'spec.jwtRules[].issuer': inForce('golden:reqauth-basic', 'tests/e2e/tokens.test.ts'),
  'spec.jwtRules[].audiences[]': inForce(COMPILE, FILTER),
  'spec.jwtRules[].jwks': inForce('golden:reqauth-basic', ON_THE_WIRE),
  'spec.jwtRules[].jwksUri': inForce(RESOLVER, COMPILE),
  'spec.jwtRules[].jwks_uri': inForce(COMPILE),
  'spec.jwtRules[].timeout': inForce(RESOLVER),
  'spec.jwtRules[].fromHeaders[].**': inForce('golden:gw-security', FILTER),
  'spec.jwtRules[].fromParams[]': inForce(COMPILE, FILTER),
  'spec.jwtRules[].fromCookies[]': inForce(COMPILE, FILTER),
  'spec.jwtRules[].forwardOriginalToken': inForce(COMPILE, FILTER),
  'spec.jwtRules[].outputPayloadToHeader': inForce(COMPILE, FILTER),
  'spec.jwtRules[].outputClaimToHeaders[].**': inForce(COMPILE, ON_THE_WIRE),
  'spec.jwtRules[].spaceDelimitedClaims[]': inForce(COMPILE, FILTER),
  'spec.jwtRules[].presence': inForce(COMPILE),
};
