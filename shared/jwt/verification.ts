/** How WebCrypto verifies the signatures of tokens (RFC 7518 section 3, RFC 8037). */
import { type Algorithm, CURVE_OF } from './key-set.ts';

type Parameters = { name: string; hash?: string; saltLength?: number; namedCurve?: string };

/** The parameters of WebCrypto, to import a key and to verify with it. */
export function verification(alg: Algorithm): Parameters {
  if (alg === 'EdDSA') return { name: 'Ed25519' };
  const size = Number(alg.slice(2));
  const hash = `SHA-${size}`;
  switch (alg.slice(0, 2)) {
    case 'RS':
      return { name: 'RSASSA-PKCS1-v1_5', hash };
    case 'PS':
      // RFC 7518 section 3.5: the salt is as long as the hash.
      return { name: 'RSA-PSS', hash, saltLength: size / 8 };
    case 'ES':
      return { name: 'ECDSA', hash, namedCurve: CURVE_OF[alg]! };
    default:
      return { name: 'HMAC', hash };
  }
}
