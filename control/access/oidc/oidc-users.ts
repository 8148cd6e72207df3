/**
 * Users of an OpenID provider, by its ID tokens, with the rules of kube-apiserver
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens).
 */
import { errors, type JWTPayload, jwtVerify } from 'jose';
import { parseJsonObject } from '../../../shared/jwt/strict-json.ts';
import { unverifiedIssuer } from '../service-account-tokens.ts';
import type { User } from '../user.ts';
import type { ProviderKeys } from './provider-keys.ts';

/** Those that kube-apiserver knows. */
export const OIDC_ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512'],
  ...['ES256', 'ES384', 'ES512'],
  ...['PS256', 'PS384', 'PS512'],
] as const;

export interface OidcSettings {
  /** As in the tokens, https. */
  readonly issuer: string;
  /** Must be of a token's audiences. */
  readonly clientId: string;
  readonly usernameClaim: string;
  /** Before the user's name. */
  readonly usernamePrefix: string;
  /** Default: users of the provider have no groups. */
  readonly groupsClaim?: string;
  readonly groupsPrefix: string;
  /** Claims that a token must have, with their values. */
  readonly requiredClaims: Readonly<Record<string, string>>;
  readonly algorithms: readonly string[];
  /** PEM of the CAs that verify the provider; default: those of the runtime. */
  readonly roots?: string;
}

export interface OidcUsersOptions {
  readonly settings: OidcSettings;
  readonly keys: Pick<ProviderKeys, 'verifying'>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** Names and groups that the control plane gives itself. */
const RESERVED = 'system:';
const CLOCK_SKEW_SECONDS = 10;
const MAX_GROUPS = 1000;

/** @returns the user of a token; undefined: the token is not valid, or of another issuer */
export function oidcUsers({
  settings,
  keys,
  now = Date.now,
}: OidcUsersOptions): (token: string) => Promise<User | undefined> {
  const { issuer, clientId, algorithms, requiredClaims } = settings;
  const claimsOf = async (token: string): Promise<JWTPayload | undefined> => {
    try {
      return await keys.verifying(async (keySet) => {
        const { payload } = await jwtVerify(token, keySet, {
          issuer,
          audience: clientId,
          algorithms: [...algorithms],
          requiredClaims: ['exp', ...Object.keys(requiredClaims)],
          clockTolerance: CLOCK_SKEW_SECONDS,
          currentDate: new Date(now()),
        });
        return payload;
      });
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  };
  return async (token) => {
    // Before a key is fetched: other tokens are the business of others.
    if (unverifiedIssuer(token) !== issuer || !isStrict(token)) return undefined;
    const claims = await claimsOf(token);
    if (!claims) return undefined;
    for (const [name, value] of Object.entries(requiredClaims)) if (claims[name] !== value) return undefined;
    return userOf(settings, claims);
  };
}

/** A claim that occurs twice is read in different ways by different readers. */
function isStrict(token: string): boolean {
  const [, payload = ''] = token.split('.');
  return parseJsonObject(Buffer.from(payload, 'base64url').toString('utf8')) !== undefined;
}

function userOf(settings: OidcSettings, claims: JWTPayload): User | undefined {
  const { usernameClaim, usernamePrefix, groupsClaim, groupsPrefix } = settings;
  const name = claims[usernameClaim];
  if (typeof name !== 'string' || name === '') return undefined;
  // As in kube-apiserver: an absent claim is accepted.
  if (usernameClaim === 'email' && 'email_verified' in claims && claims['email_verified'] !== true) return undefined;
  const username = usernamePrefix + name;
  if (username.startsWith(RESERVED)) return undefined;
  const groups = groupsClaim === undefined ? [] : groupsOf(claims[groupsClaim]);
  if (!groups) return undefined;
  return {
    name: username,
    groups: groups.map((group) => groupsPrefix + group).filter((group) => !group.startsWith(RESERVED)),
    ...(typeof claims.jti === 'string' && {
      extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`] },
    }),
  };
}

/** A text or a list of them; undefined: something else. */
function groupsOf(claim: unknown): string[] | undefined {
  if (claim === undefined || claim === null) return [];
  const groups = [claim].flat();
  return groups.length <= MAX_GROUPS && groups.every((each) => typeof each === 'string') ? groups : undefined;
}
