/** The size of RSA keys. */
import { BIT_STRING, children, expect, INTEGER, objectIdentifier, only, SEQUENCE } from './asn1.ts';

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';

/** @param publicKey SubjectPublicKeyInfo, DER. @returns bits of the modulus; undefined: it is no RSA key */
export function rsaBits(publicKey: Uint8Array): number | undefined {
  try {
    const [algorithm, key] = children(only(publicKey, SEQUENCE).content);
    if (objectIdentifier(children(expect(algorithm, SEQUENCE).content)[0]) !== RSA_ENCRYPTION) return undefined;
    const [modulus] = children(only(expect(key, BIT_STRING).content.subarray(1), SEQUENCE).content);
    const { content } = expect(modulus, INTEGER);
    const from = content.findIndex((byte) => byte !== 0);
    return from < 0 ? 0 : (content.length - from) * 8 - Math.clz32(content[from]!) + 24;
  } catch {
    return undefined;
  }
}

/** Whether it is an RSA key of 2048 to 8192 bits: a shorter one is too weak, a longer one too slow. */
export function isStrongRsa(publicKey: Uint8Array): boolean {
  const bits = rsaBits(publicKey) ?? 0;
  return bits >= 2048 && bits <= 8192;
}
