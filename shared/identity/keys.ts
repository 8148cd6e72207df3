/** Workload keys: ECDSA P-256 in WebCrypto, which every runtime has. */
import { decodePem, encodePem } from './pem.ts';

/** WebCrypto's key handle, named through the API because it is no global type outside browsers. */
export type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
export interface Keys {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

export const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** A fresh key pair; extractable, because the runtimes' TLS takes keys as PEM. */
export function generateKeys(): Promise<Keys> {
  return crypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

/** PKCS#8 PEM. */
export async function exportPrivateKey(key: CryptoKey): Promise<string> {
  return encodePem('PRIVATE KEY', new Uint8Array(await crypto.subtle.exportKey('pkcs8', key)));
}

/** Imports a key that `exportPrivateKey` exported. @throws PemError, or WebCrypto's DataError when it is no P-256 key */
export async function importPrivateKey(pem: string): Promise<CryptoKey> {
  const [der] = decodePem(pem, 'PRIVATE KEY');
  return crypto.subtle.importKey('pkcs8', der!, keyAlgorithm, true, ['sign']);
}

/**
 * Whether a P-256 private key belongs to a public key: a signature by the one verifies with the other.
 * @param publicKey SubjectPublicKeyInfo, DER; of another kind of key it is false
 */
export async function keyMatches(privateKey: CryptoKey, publicKey: Uint8Array): Promise<boolean> {
  const other = await crypto.subtle
    .importKey('spki', new Uint8Array(publicKey), keyAlgorithm, false, ['verify'])
    .catch(() => undefined);
  if (other === undefined) return false;
  const probe = crypto.getRandomValues(new Uint8Array(32));
  const signature = await crypto.subtle.sign(signingAlgorithm, privateKey, probe);
  return crypto.subtle.verify(signingAlgorithm, other, signature, probe);
}
