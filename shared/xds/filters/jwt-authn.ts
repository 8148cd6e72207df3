/** envoy.extensions.filters.http.jwt_authn.v3. Keys are local: `remote_jwks` and `filter_state_rules` are refused by name. */
import * as z from 'zod';
import { DataSource, StringMatcher } from '../core.ts';
import { RouteMatch } from '../match/route-match.ts';
import { bool, duration, list, map, message, messageRequiring, nonEmpty, string, uint32 } from '../message.ts';

/** The name of the filter, under which it writes dynamic metadata. */
export const JWT_AUTHN = 'envoy.filters.http.jwt_authn';

/**
 * A jwt_authn filter of this name accepts JWT-SVIDs: the subject of a token that it verifies becomes the source principal.
 * To Envoy the name has no meaning.
 */
export const JWT_SVID_FILTER = 'tulle.filters.http.jwt_svid';

export const JwtProvider = message({
  issuer: string(),
  audiences: list(nonEmpty()),
  subjects: StringMatcher,
  requireExpiration: bool(),
  maxLifetime: duration(),
  localJwks: DataSource,
  forward: bool(),
  fromHeaders: list(messageRequiring({ name: nonEmpty(), valuePrefix: string() }, ['name'])),
  fromParams: list(nonEmpty()),
  fromCookies: list(nonEmpty()),
  forwardPayloadHeader: string(),
  padForwardPayloadHeader: bool(),
  payloadInMetadata: string(),
  headerInMetadata: string(),
  failedStatusInMetadata: string(),
  normalizePayloadInMetadata: message({ spaceDelimitedClaims: list(nonEmpty()) }),
  clockSkewSeconds: uint32(),
  jwtCacheConfig: message({ jwtCacheSize: uint32() }),
  claimToHeaders: list(
    messageRequiring({ headerName: nonEmpty(), claimName: nonEmpty() }, ['headerName', 'claimName']),
  ),
  clearRouteCache: bool(),
});
export type JwtProvider = z.infer<typeof JwtProvider>;

/** One of the fields; none: every request passes. */
export interface JwtRequirement {
  providerName?: string;
  providerAndAudiences?: { providerName: string; audiences?: string[] };
  requiresAny?: { requirements?: JwtRequirement[] };
  requiresAll?: { requirements?: JwtRequirement[] };
  allowMissingOrFailed?: Record<string, never>;
  allowMissing?: Record<string, never>;
}
export const JwtRequirement: z.ZodType<JwtRequirement> = z.lazy(() =>
  message({
    providerName: nonEmpty(),
    providerAndAudiences: messageRequiring({ providerName: nonEmpty(), audiences: list(nonEmpty()) }, ['providerName']),
    requiresAny: message({ requirements: list(JwtRequirement) }),
    requiresAll: message({ requirements: list(JwtRequirement) }),
    allowMissingOrFailed: message({}),
    allowMissing: message({}),
  }),
) as z.ZodType<JwtRequirement>;

export const JwtAuthentication = message({
  providers: map(JwtProvider),
  /** The first whose match fits holds; a request that none fits passes. */
  rules: list(
    messageRequiring({ match: RouteMatch, requires: JwtRequirement, requirementName: nonEmpty() }, ['match']),
  ),
  requirementMap: map(JwtRequirement),
  bypassCorsPreflight: bool(),
  stripFailureResponse: bool(),
});
export type JwtAuthentication = z.infer<typeof JwtAuthentication>;

/** envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig */
export const JwtPerRoute = message({ disabled: bool(), requirementName: nonEmpty() });
export type JwtPerRoute = z.infer<typeof JwtPerRoute>;
