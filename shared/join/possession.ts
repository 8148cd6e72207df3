/** How evidence is bound to the certificate request that it is sent with, so that it is of no use for another key. */
import { children, expect, objectIdentifier, only, SEQUENCE } from '../identity/asn1.ts';
import { decodePem } from '../identity/pem.ts';

/** In front, so that the signature is of no use for another purpose. */
const PURPOSE = 'tulle-join-csr:';

/**
 * What the key of a certificate signs: a text that names the SHA-256 of the CSR (DER), in lower-case hexadecimal.
 * @throws PemError
 */
export async function possessionMessage(csr: string): Promise<Uint8Array<ArrayBuffer>> {
  const hex = [...(await digestOf(csr))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return new TextEncoder().encode(`${PURPOSE}${hex}`);
}

/**
 * The nonce of an attested document of Azure: ten digits, the most that its metadata service takes, of the SHA-256 of the CSR.
 * @throws PemError
 */
export async function nonceOf(csr: string): Promise<string> {
  const number = new DataView((await digestOf(csr)).buffer).getBigUint64(0);
  return String(number % 10_000_000_000n).padStart(10, '0');
}

async function digestOf(csr: string): Promise<Uint8Array<ArrayBuffer>> {
  const [der, ...more] = decodePem(csr, 'CERTIFICATE REQUEST');
  if (!der || more.length > 0) throw new Error('csr: must be one certificate request');
  return new Uint8Array(await crypto.subtle.digest('SHA-256', der));
}

export interface KeyAlgorithm {
  readonly name: 'ECDSA' | 'RSASSA-PKCS1-v1_5' | 'Ed25519';
  readonly hash?: string;
  readonly namedCurve?: string;
}

const EC = '1.2.840.10045.2.1';
const CURVES: Readonly<Record<string, KeyAlgorithm>> = {
  '1.2.840.10045.3.1.7': { name: 'ECDSA', hash: 'SHA-256', namedCurve: 'P-256' },
  '1.3.132.0.34': { name: 'ECDSA', hash: 'SHA-384', namedCurve: 'P-384' },
  '1.3.132.0.35': { name: 'ECDSA', hash: 'SHA-512', namedCurve: 'P-521' },
};

/**
 * How a key signs: ECDSA with the hash of its curve's size, the signature as WebCrypto has it (r and s, not DER); RSA as
 * PKCS#1 v1.5 with SHA-256; Ed25519. Undefined: another kind of key.
 * @param publicKey SubjectPublicKeyInfo, DER
 */
export function possessionAlgorithm(publicKey: Uint8Array): KeyAlgorithm | undefined {
  const [algorithm] = children(only(publicKey, SEQUENCE).content);
  const [type, parameters] = children(expect(algorithm, SEQUENCE).content);
  switch (objectIdentifier(type)) {
    case EC:
      return parameters?.tag === 0x06 ? CURVES[objectIdentifier(parameters)] : undefined;
    case '1.2.840.113549.1.1.1':
      return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
    case '1.3.101.112':
      return { name: 'Ed25519' };
    default:
      return undefined;
  }
}
