/** A condition on a claim of the token that jwt_authn has verified, which it leaves in dynamic metadata. */
import { JWT_AUTHN } from '../../../shared/xds/filters/jwt-authn.ts';
import type { MetadataMatcher, ValueMatcher } from '../../../shared/xds/match/metadata-matcher.ts';

/** The key under which the payload of a token is in the filter's metadata; Istio's. */
export const PAYLOAD = 'payload';

/** @param claim its name, and those of the claims around it, the outermost first */
export function claimMatcherOf(claim: readonly string[], value: ValueMatcher): MetadataMatcher {
  return { filter: JWT_AUTHN, path: [PAYLOAD, ...claim].map((key) => ({ key })), value };
}
