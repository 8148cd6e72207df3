/** JSON Web Key Sets (RFC 7517, RFC 7518 section 6, RFC 8037). The key decides which algorithms it is used with. */
import { decodeBase64url } from './base64url.ts';
import { parseJsonObject } from './strict-json.ts';

/** The algorithms of signatures that are known here, those of Envoy. */
export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'HS256',
  'HS384',
  'HS512',
  'EdDSA',
] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Characters of a key set; a longer one is refused unread. */
const MAX_KEY_SET = 1024 * 1024;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;

/** A public key, or a secret that is shared with the issuer (kty oct). */
export interface Key {
  /** '' without one. */
  readonly kid: string;
  /** '' without one. */
  readonly alg: string;
  readonly algorithms: readonly Algorithm[];
  /** What is imported. */
  readonly jwk: KeyMaterial;
}

/** Public members of a key. */
type KeyMaterial = Readonly<Record<string, string>>;
type Members = Readonly<Record<string, unknown>>;

/** The keys of a set that signatures can be verified with; the others are left out. Empty: the text is no key set, or has none. */
export function parseKeySet(text: string): readonly Key[] {
  const keys = text.length > MAX_KEY_SET ? undefined : parseJsonObject(text)?.['keys'];
  if (!Array.isArray(keys)) return [];
  return keys.flatMap((one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one) ? (readKey(one as Members) ?? []) : [],
  );
}

function readKey(members: Members): Key | undefined {
  const { kid = '', alg = '', use = 'sig', key_ops: operations = ['verify'] } = members;
  if (typeof kid !== 'string' || typeof alg !== 'string' || use !== 'sig') return undefined;
  if (!Array.isArray(operations) || !operations.includes('verify')) return undefined;
  const found = readMaterial(members, alg);
  if (!found || (alg !== '' && !(found.algorithms as readonly string[]).includes(alg))) return undefined;
  return { kid, alg, ...found };
}

type Material = Pick<Key, 'algorithms' | 'jwk'>;

function readMaterial({ kty, n, e, crv, x, y, k }: Members, alg: string): Material | undefined {
  switch (kty) {
    case 'RSA': {
      const algorithms: Algorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
      return isText(n) && isText(e) && isRsaKey(n, e) ? { algorithms, jwk: { kty, n, e } } : undefined;
    }
    case 'EC': {
      const curve = isText(crv) ? crv : crv === undefined ? (CURVE_OF[alg] ?? 'P-256') : '';
      const algorithm = EC_ALGORITHMS[curve];
      if (!algorithm || !isText(x) || !isText(y)) return undefined;
      return { algorithms: [algorithm], jwk: { kty, crv: curve, x, y } };
    }
    case 'OKP':
      if (crv !== 'Ed25519' || !isText(x) || decodeBase64url(x)?.length !== 32) return undefined;
      return { algorithms: ['EdDSA'], jwk: { kty, crv, x } };
    case 'oct':
      if (!isText(k) || !decodeBase64url(k)?.length) return undefined;
      return { algorithms: ['HS256', 'HS384', 'HS512'], jwk: { kty, k } };
    default:
      return undefined;
  }
}

const isText = (value: unknown): value is string => typeof value === 'string';

const EC_ALGORITHMS: Readonly<Record<string, Algorithm>> = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' };
/** The curve of each ECDSA algorithm. */
export const CURVE_OF: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** RFC 7518 section 3.3 asks for 2048 bits. Exponents as in Envoy: others make verifying slow, or are mistakes. */
function isRsaKey(n: string, e: string): boolean {
  const modulus = decodeBase64url(n);
  const exponent = decodeBase64url(e);
  if (!modulus || !exponent) return false;
  const first = modulus.findIndex((byte) => byte !== 0);
  if (first < 0) return false;
  const bits = (modulus.length - first) * 8 - Math.clz32(modulus[first]!) + 24;
  const value = exponent.length > 4 ? 0 : exponent.reduce((sum, byte) => sum * 256 + byte, 0);
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS && (value === 3 || value === 65537);
}
