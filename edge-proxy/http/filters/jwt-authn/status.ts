/** What verifying a token came to: Envoy's numbers and texts (source/common/jwt/status.h and status.cc). */
import type { LocalReply, RequestContext } from '../../request/request-context.ts';

/** Compared by identity. */
export interface Status {
  readonly code: number;
  readonly text: string;
}
const status = (code: number, text: string): Status => ({ code, text });

export const OK = status(0, 'OK');
export const MISSING = status(1, 'Jwt is missing');
export const NOT_YET_VALID = status(2, 'Jwt not yet valid');
export const EXPIRED = status(3, 'Jwt is expired');
export const BAD_FORMAT = status(4, 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections');
export const HEADER_BAD_BASE64 = status(5, 'Jwt header is an invalid Base64url encoded');
export const HEADER_BAD_JSON = status(6, 'Jwt header is an invalid JSON');
export const HEADER_BAD_ALG = status(7, 'Jwt header [alg] field is required and must be a string');
export const HEADER_UNKNOWN_ALG = status(8, 'Jwt header [alg] is not supported');
export const HEADER_BAD_KID = status(9, 'Jwt header [kid] field is not a string');
export const PAYLOAD_BAD_BASE64 = status(10, 'Jwt payload is an invalid Base64url encoded');
export const PAYLOAD_BAD_JSON = status(11, 'Jwt payload is an invalid JSON');
export const ISS_NOT_STRING = status(12, 'Jwt payload [iss] field is not a string');
export const SUB_NOT_STRING = status(13, 'Jwt payload [sub] field is not a string');
/** Of `iat`, `nbf` and `exp`, in this order: is no number, is out of range. */
export const TIME_STATUSES = {
  iat: {
    notInteger: status(14, 'Jwt payload [iat] field is not an integer'),
    outOfRange: status(15, 'Jwt payload [iat] field is not a positive 64 bit integer'),
  },
  nbf: {
    notInteger: status(16, 'Jwt payload [nbf] field is not an integer'),
    outOfRange: status(17, 'Jwt payload [nbf] field is not a positive 64 bit integer'),
  },
  exp: {
    notInteger: status(18, 'Jwt payload [exp] field is not an integer'),
    outOfRange: status(19, 'Jwt payload [exp] field is not a positive 64 bit integer'),
  },
} as const;
export const JTI_NOT_STRING = status(20, 'Jwt payload [jti] field is not a string');
export const AUD_NOT_STRING = status(21, 'Jwt payload [aud] field is not a string or string list');
export const SIGNATURE_BAD_BASE64 = status(22, 'Jwt signature is an invalid Base64url encoded');
export const ED25519_WRONG_LENGTH = status(23, 'Jwt ED25519 signature is wrong length');
export const UNKNOWN_ISSUER = status(24, 'Jwt issuer is not configured');
export const AUDIENCE_NOT_ALLOWED = status(25, 'Audiences in Jwt are not allowed');
export const VERIFICATION_FAILED = status(26, 'Jwt verification fails');
export const NO_MATCHING_KEY = status(32, "Jwks doesn't have key to match kid or alg from Jwt");

/** Of the request's URI, characters that the realm names. */
const MAX_REALM_PATH = 256;

/**
 * The answer to a request that is denied (RFC 6750 section 3), with its URI as the realm.
 * @param path of the request as it came, before a token was taken out of it
 */
export function denial(request: RequestContext, { text }: Status, path: string = request.path): LocalReply {
  const shown = path.slice(0, MAX_REALM_PATH).replace(/["\\]/g, encodeURIComponent);
  const error = text === MISSING.text ? '' : ', error="invalid_token"';
  return {
    status: text === AUDIENCE_NOT_ALLOWED.text ? 403 : 401,
    body: text,
    details: detailsOf(text),
    headers: { 'www-authenticate': `Bearer realm="${request.scheme}://${request.authority}${shown}"${error}` },
  };
}

/** Envoy's response code details. */
export function detailsOf(text: string): string {
  return `jwt_authn_access_denied{${text.replace(/\s/g, '_')}}`;
}
