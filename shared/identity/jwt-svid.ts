/** JWT-SVIDs: https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md, ES256 only. */
import { createLocalJWKSet, type JSONWebKeySet, errors as joseErrors, jwtVerify } from 'jose';
import { parseSpiffeId } from './spiffe.ts';

/**
 * The audience of tokens that authenticate a workload to the control plane. Such a token has no second audience: a
 * recipient of a token with two audiences could use it at the other one.
 */
export const controlPlaneAudience = 'tulle-control';

export const jwtSvidAlgorithm = 'ES256';
const MAX_TOKEN = 8 * 1024;

export type JwtSvidErrorCode =
  | 'malformed'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-issuer'
  | 'wrong-audience'
  | 'unknown-key'
  | 'bad-signature'
  | 'wrong-trust-domain'
  | 'revoked';

/** Why a token is refused; the message never holds the token. */
export class JwtSvidError extends Error {
  override name = 'JwtSvidError';
  readonly code: JwtSvidErrorCode;
  constructor(code: JwtSvidErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface JwtSvidOptions {
  /** Milliseconds since the epoch; default the system's clock. */
  now?: number;
  /** When set, `sub` must be of this trust domain. */
  trustDomain?: string;
  /** When set, `iss` must be this. */
  issuer?: string;
}

export interface VerifiedJwtSvid {
  spiffeId: string;
  trustDomain: string;
  audience: string[];
  /** Milliseconds since the epoch. */
  expires: number;
}

export type JwtSvidVerifier = (token: string, audience: string, options?: JwtSvidOptions) => Promise<VerifiedJwtSvid>;

/** A verifier over one key set; keep it while the key set is the same: it caches the imported keys. */
export function createJwtSvidVerifier(jwks: JSONWebKeySet): JwtSvidVerifier {
  const keys = createLocalJWKSet(jwks);
  return async (token, audience, options = {}) => {
    if (token.length > MAX_TOKEN) throw new JwtSvidError('malformed', 'token is longer than 8 KiB');
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keys, {
        algorithms: [jwtSvidAlgorithm],
        audience,
        requiredClaims: ['exp', 'aud', 'sub'],
        currentDate: new Date(options.now ?? Date.now()),
        ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
      });
      checkType(protectedHeader.typ);
      const trustDomain = subjectTrustDomain(payload.sub!, options.trustDomain);
      return { spiffeId: payload.sub!, trustDomain, audience: [payload.aud!].flat(), expires: payload.exp! * 1000 };
    } catch (error) {
      throw explain(error, audience);
    }
  };
}

/** Verifies one token. @throws JwtSvidError */
export function verifyJwtSvid(
  token: string,
  audience: string,
  jwks: JSONWebKeySet,
  options?: JwtSvidOptions,
): Promise<VerifiedJwtSvid> {
  return createJwtSvidVerifier(jwks)(token, audience, options);
}

/** Section 2.3 of the standard: `typ` is absent, `JWT` or `JOSE`. */
function checkType(typ: string | undefined): void {
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') {
    throw new JwtSvidError('malformed', 'token type must be "JWT" or "JOSE"');
  }
}

function subjectTrustDomain(subject: string, wanted: string | undefined): string {
  const { trustDomain, path } = parseSpiffeId(subject);
  if (path === '') throw new JwtSvidError('malformed', 'token subject is a trust domain, not a workload');
  if (wanted !== undefined && trustDomain !== wanted) {
    throw new JwtSvidError('wrong-trust-domain', `trust domain "${trustDomain}" is not "${wanted}"`);
  }
  return trustDomain;
}

function explain(error: unknown, audience: string): JwtSvidError {
  if (error instanceof JwtSvidError) return error;
  if (error instanceof joseErrors.JWTExpired) return new JwtSvidError('expired', 'token has expired');
  if (error instanceof joseErrors.JWTClaimValidationFailed) {
    if (error.claim === 'aud')
      return new JwtSvidError('wrong-audience', `token is not meant for audience "${audience}"`);
    const code = error.claim === 'iss' ? 'wrong-issuer' : error.claim === 'nbf' ? 'not-yet-valid' : 'malformed';
    return new JwtSvidError(code, `token claim "${error.claim}" is missing or wrong`);
  }
  if (error instanceof joseErrors.JWKSNoMatchingKey)
    return new JwtSvidError('unknown-key', 'token is not signed by a key of the trust domain');
  const wrongSignature =
    error instanceof joseErrors.JWSSignatureVerificationFailed || error instanceof joseErrors.JWKSMultipleMatchingKeys;
  return wrongSignature
    ? new JwtSvidError('bad-signature', 'token is not signed by a key of the trust domain')
    : new JwtSvidError('malformed', 'token is not a JWT-SVID signed with ES256');
}
