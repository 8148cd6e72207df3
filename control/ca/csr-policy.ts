/** The authority's rules for certificate signing requests. */
import { keyAlgorithm, signingAlgorithm } from '../../shared/identity/keys.ts';
import { decodePem } from '../../shared/identity/pem.ts';
import {
  Pkcs10CertificateRequest,
  type PublicKey,
  type SubjectAlternativeNameExtension,
} from '../../shared/identity/x509.ts';
import { type PlainCsr, readPlainCsr } from './plain-csr.ts';

const MAX_CSR = 16 * 1024;
const OID_SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';

/** The CSR is refused; the message gives the reason to the client. */
export class CsrError extends Error {
  override name = 'CsrError';
}

/**
 * Checks a CSR for a workload: well formed, signed by its own key (proof of possession), the key strong enough. The names
 * in it are ignored, but a CSR with another SPIFFE id is refused.
 * @returns the key to certify: SubjectPublicKeyInfo, DER
 * @throws CsrError
 */
export async function checkCsr(csrPem: string, spiffeId: string): Promise<Uint8Array> {
  const der = decodeCsr(csrPem);
  const plain = readPlainCsr(der);
  return plain ? checkPlain(plain, spiffeId) : checkAny(parseCsr(der), spiffeId);
}

/** Of a plain CSR the key is strong enough by its form. */
async function checkPlain(csr: PlainCsr, spiffeId: string): Promise<Uint8Array> {
  if (!(await isSignedByItsKey(csr))) throw notItsKey();
  checkNames(csr.uris, spiffeId);
  return csr.publicKey;
}

async function checkAny(request: Pkcs10CertificateRequest, spiffeId: string): Promise<Uint8Array> {
  checkKeyStrength(request.publicKey);
  if (!(await request.verify().catch(() => false))) throw notItsKey();
  checkNames(uriNames(request), spiffeId);
  return new Uint8Array(request.publicKey.rawData);
}

const notItsKey = () => new CsrError('CSR is not signed by the key it contains');

async function isSignedByItsKey({ point, signature, info }: PlainCsr): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey('raw', point, keyAlgorithm, false, ['verify']);
    return await crypto.subtle.verify(signingAlgorithm, key, signature, info);
  } catch {
    // Not a point of the curve.
    return false;
  }
}

function checkNames(uris: readonly string[], spiffeId: string): void {
  for (const uri of uris)
    if (/^spiffe:/i.test(uri) && uri !== spiffeId)
      throw new CsrError(`CSR names ${JSON.stringify(uri)}, the caller is "${spiffeId}"`);
}

function decodeCsr(csrPem: string): Uint8Array<ArrayBuffer> {
  if (csrPem.length > MAX_CSR) throw new CsrError('CSR is longer than 16 KiB');
  try {
    const blocks = decodePem(csrPem, 'CERTIFICATE REQUEST');
    if (blocks.length === 1) return blocks[0]!;
  } catch {
    throw notARequest();
  }
  throw new CsrError('expected one CSR');
}

function parseCsr(der: Uint8Array<ArrayBuffer>): Pkcs10CertificateRequest {
  try {
    return new Pkcs10CertificateRequest(der);
  } catch {
    throw notARequest();
  }
}

const notARequest = () => new CsrError('CSR is not a PKCS#10 request in PEM');

function checkKeyStrength(key: PublicKey): void {
  const { name, namedCurve, modulusLength } = key.algorithm as {
    name: string;
    namedCurve?: string;
    modulusLength?: number;
  };
  if (name === 'Ed25519') return;
  if (name === 'ECDSA' && (namedCurve === 'P-256' || namedCurve === 'P-384')) return;
  // Keys above 8192 bits only cost the verifiers time.
  if (name === 'RSASSA-PKCS1-v1_5' && modulusLength! >= 2048 && modulusLength! <= 8192) return;
  throw new CsrError('CSR key must be ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits');
}

function uriNames(request: Pkcs10CertificateRequest): string[] {
  try {
    return request
      .getExtensions(OID_SUBJECT_ALTERNATIVE_NAME)
      .flatMap((extension) => (extension as SubjectAlternativeNameExtension).names.items)
      .filter((name) => name.type === 'url')
      .map((name) => name.value);
  } catch {
    throw new CsrError("CSR's subject alternative names cannot be parsed");
  }
}
