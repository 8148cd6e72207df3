/** A JSON Web Token in compact form (RFC 7515, RFC 7519), taken apart; nothing of it is verified. */
import { decodeBase64url } from '../../../../shared/jwt/base64url.ts';
import { ALGORITHMS, type Algorithm } from '../../../../shared/jwt/key-set.ts';
import { parseJsonObject } from '../../../../shared/jwt/strict-json.ts';
import {
  AUD_NOT_STRING,
  BAD_FORMAT,
  HEADER_BAD_ALG,
  HEADER_BAD_BASE64,
  HEADER_BAD_JSON,
  HEADER_BAD_KID,
  HEADER_UNKNOWN_ALG,
  ISS_NOT_STRING,
  JTI_NOT_STRING,
  PAYLOAD_BAD_BASE64,
  PAYLOAD_BAD_JSON,
  SIGNATURE_BAD_BASE64,
  type Status,
  SUB_NOT_STRING,
  TIME_STATUSES,
  VERIFICATION_FAILED,
} from './status.ts';

/** Characters of a token; a longer one is refused unread. */
const MAX_TOKEN = 32 * 1024;

const isAlgorithm = (value: string): value is Algorithm => (ALGORITHMS as readonly string[]).includes(value);

/** Claims that are judged. */
export interface Claims {
  /** '' without one. */
  readonly iss: string;
  readonly sub: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch; 0 without one. */
  readonly nbf: number;
  /** Undefined: it does not expire. */
  readonly exp: number | undefined;
}

export interface Token {
  readonly alg: Algorithm;
  /** '' without one. */
  readonly kid: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
  /** As in the token. */
  readonly payloadPart: string;
  readonly claims: Claims;
  /** What is signed. */
  readonly signed: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** A status: why the text is no token. A header with `crit` or `b64` is refused: no extension of it is known here (RFC 7515 section 4.1.11). */
export function parseToken(text: string): Token | Status {
  if (text.length > MAX_TOKEN) return BAD_FORMAT;
  const parts = text.split('.', 4);
  const [headerPart, payloadPart, signaturePart] = parts;
  if (parts.length !== 3 || !headerPart || !payloadPart || !signaturePart) return BAD_FORMAT;
  const header = readObject(headerPart, HEADER_BAD_BASE64, HEADER_BAD_JSON);
  if (isStatus(header)) return header;
  const { alg, kid = '' } = header.members;
  if (typeof alg !== 'string') return HEADER_BAD_ALG;
  if (!isAlgorithm(alg)) return HEADER_UNKNOWN_ALG;
  if (typeof kid !== 'string') return HEADER_BAD_KID;
  if ('crit' in header.members || 'b64' in header.members) return VERIFICATION_FAILED;
  const payload = readObject(payloadPart, PAYLOAD_BAD_BASE64, PAYLOAD_BAD_JSON);
  if (isStatus(payload)) return payload;
  const claims = readClaims(payload.members);
  if (isStatus(claims)) return claims;
  const signature = decodeBase64url(signaturePart);
  if (!signature) return SIGNATURE_BAD_BASE64;
  return {
    alg,
    kid,
    header: header.members,
    payload: payload.members,
    payloadPart,
    claims,
    signed: encoder.encode(`${headerPart}.${payloadPart}`),
    signature,
  };
}

export function isStatus(value: object): value is Status {
  return 'code' in value;
}

interface Part {
  readonly members: Record<string, unknown>;
}

function readObject(part: string, badBase64: Status, badJson: Status): Part | Status {
  const bytes = decodeBase64url(part);
  if (!bytes) return badBase64;
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return badJson;
  }
  const members = parseJsonObject(text);
  return members ? { members } : badJson;
}

function readClaims(payload: Readonly<Record<string, unknown>>): Claims | Status {
  const { iss = '', sub = '', jti = '' } = payload;
  if (typeof iss !== 'string') return ISS_NOT_STRING;
  if (typeof sub !== 'string') return SUB_NOT_STRING;
  const times: { iat?: number; nbf?: number; exp?: number } = {};
  for (const name of ['iat', 'nbf', 'exp'] as const) {
    const value = payload[name];
    if (value === undefined) continue;
    if (typeof value !== 'number') return TIME_STATUSES[name].notInteger;
    if (value < 0 || value >= 2 ** 64) return TIME_STATUSES[name].outOfRange;
    times[name] = Math.floor(value);
  }
  if (typeof jti !== 'string') return JTI_NOT_STRING;
  const audiences = readAudiences(payload['aud']);
  if (!audiences) return AUD_NOT_STRING;
  return { iss, sub, audiences, nbf: times.nbf ?? 0, exp: times.exp };
}

function readAudiences(aud: unknown): string[] | undefined {
  if (aud === undefined) return [];
  if (typeof aud === 'string') return [aud];
  return Array.isArray(aud) && aud.every((one): one is string => typeof one === 'string') ? aud : undefined;
}
