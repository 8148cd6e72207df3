/** JSON Web Tokens in compact form (RFC 7515, RFC 7519), signed with public-key algorithms. */
import { decodeBase64url } from '../../../shared/jwt/base64url.ts';
import { ALGORITHMS, type Algorithm, type Key } from '../../../shared/jwt/key-set.ts';
import { parseJsonObject } from '../../../shared/jwt/strict-json.ts';
import { verification } from '../../../shared/jwt/verification.ts';
import { Refusal } from './proof.ts';

export interface Jws {
  readonly alg: Algorithm;
  /** '' without one. */
  readonly kid: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** What is signed. */
  readonly signed: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** Keys that one token is tried with. */
const MAX_ATTEMPTS = 8;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Takes a token apart; nothing of it is verified. @throws Refusal unproved */
export function parseJws(text: string): Jws {
  const [headerPart = '', payloadPart = '', signaturePart = '', more] = text.split('.', 4);
  const header = more === undefined ? objectOf(headerPart) : undefined;
  const payload = objectOf(payloadPart);
  const signature = decodeBase64url(signaturePart);
  if (!header || !payload || !signature?.length)
    throw new Refusal('unproved', 'token: is no signed JSON Web Token in compact form');
  const { alg, kid = '' } = header;
  if (!isPublicKeyAlgorithm(alg))
    throw new Refusal('unproved', 'token: its alg is not one of a public key, as RS256 or ES256');
  // No extension of the header is known here (RFC 7515 section 4.1.11).
  if (typeof kid !== 'string' || 'crit' in header || 'b64' in header)
    throw new Refusal('unproved', 'token: its header has a kid that is no text, crit or b64');
  const signed = new TextEncoder().encode(`${headerPart}.${payloadPart}`);
  return { alg, kid, payload, signed, signature };
}

function objectOf(part: string): Record<string, unknown> | undefined {
  const bytes = decodeBase64url(part);
  try {
    return bytes && parseJsonObject(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}

function isPublicKeyAlgorithm(alg: unknown): alg is Algorithm {
  return typeof alg === 'string' && (ALGORITHMS as readonly string[]).includes(alg) && !alg.startsWith('HS');
}

/** Whether one of the keys signed the token. */
export async function isSignedBy(jws: Jws, keys: readonly Key[]): Promise<boolean> {
  const usable = keys.filter(
    ({ kid, algorithms, alg }) =>
      (jws.kid === '' || kid === '' || kid === jws.kid) &&
      (alg === '' || alg === jws.alg) &&
      algorithms.includes(jws.alg),
  );
  for (const key of usable.slice(0, MAX_ATTEMPTS)) if (await verifies(jws, key)) return true;
  return false;
}

async function verifies({ alg, signed, signature }: Jws, { jwk }: Key): Promise<boolean> {
  const parameters = verification(alg);
  try {
    const key = await crypto.subtle.importKey('jwk', jwk, parameters, false, ['verify']);
    return await crypto.subtle.verify(parameters, key, signature, signed);
  } catch {
    // A key that the runtime does not take, or a signature that cannot belong to it.
    return false;
  }
}
