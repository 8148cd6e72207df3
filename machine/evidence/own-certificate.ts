/** A certificate that the machine has from another authority, and a signature by its key for the CSR. */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeCertificates, readCertificate } from '../../shared/identity/certificate.ts';
import type { Evidence } from '../../shared/join/join-protocol.ts';
import { possessionAlgorithm, possessionMessage } from '../../shared/join/possession.ts';
import { encodeBase64 } from '../../shared/jwt/base64url.ts';
import { EvidenceError } from './local-http.ts';

export interface CertificateFiles {
  /** PEM, leaf first, with the certificates up to the root of the policy. */
  readonly certificate: string;
  /** PEM: PKCS#8, PKCS#1 or SEC 1, without a passphrase. */
  readonly key: string;
}

/** @throws EvidenceError */
export async function certificateEvidence({ certificate, key }: CertificateFiles, csr: string): Promise<Evidence> {
  const [chain, keyText] = await Promise.all([contentOf(certificate), contentOf(key)]);
  const leaf = leafOf(chain, certificate);
  const algorithm = possessionAlgorithm(leaf.publicKey);
  if (!algorithm)
    throw new EvidenceError(`${certificate}: its key is neither ECDSA (P-256, P-384, P-521), RSA nor Ed25519`);
  const message = await possessionMessage(csr);
  let signature: Uint8Array<ArrayBuffer>;
  let isItsKey: boolean;
  try {
    const pkcs8 = createPrivateKey(keyText).export({ type: 'pkcs8', format: 'der' });
    const privateKey = await crypto.subtle.importKey('pkcs8', new Uint8Array(pkcs8), algorithm, false, ['sign']);
    signature = new Uint8Array(await crypto.subtle.sign(algorithm, privateKey, message));
    const spki = new Uint8Array(leaf.publicKey);
    const publicKey = await crypto.subtle.importKey('spki', spki, algorithm, false, ['verify']);
    isItsKey = await crypto.subtle.verify(algorithm, publicKey, signature, message);
  } catch {
    throw new EvidenceError(`${key}: must be a private key in PEM without passphrase, of the kind of ${certificate}`);
  }
  if (!isItsKey) throw new EvidenceError(`${key}: is not the key of ${certificate}`);
  return { kind: 'certificate', chain, signature: encodeBase64(signature) };
}

async function contentOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new EvidenceError(`${file}: ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`}`);
  }
}

function leafOf(chain: string, file: string) {
  try {
    return readCertificate(decodeCertificates(chain)[0]!);
  } catch (error) {
    throw new EvidenceError(`${file}: ${(error as Error).message}`);
  }
}
