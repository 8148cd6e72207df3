/** What the authority asks of a certificate signing request. */
import { decodePem } from '../../shared/identity/pem.ts';
import {
  Pkcs10CertificateRequest,
  type PublicKey,
  type SubjectAlternativeNameExtension,
} from '../../shared/identity/x509.ts';

const MAX_CSR = 16 * 1024;
const OID_SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';

/** The CSR is refused; the message tells its sender why. */
export class CsrError extends Error {
  override name = 'CsrError';
}

/**
 * Checks a CSR for a workload: well formed, signed by its own key (proof of possession), the key strong enough. The names
 * it asks for are not granted, but naming another SPIFFE id is a mix-up and refused.
 * @returns the key to certify
 * @throws CsrError
 */
export async function checkCsr(csrPem: string, spiffeId: string): Promise<PublicKey> {
  const request = parseCsr(csrPem);
  checkKeyStrength(request.publicKey);
  if (!(await request.verify().catch(() => false))) throw new CsrError('CSR is not signed by the key it contains');
  for (const name of spiffeNames(request)) {
    if (name !== spiffeId) throw new CsrError(`CSR asks for ${JSON.stringify(name)}, the caller is "${spiffeId}"`);
  }
  return request.publicKey;
}

function parseCsr(csrPem: string): Pkcs10CertificateRequest {
  if (csrPem.length > MAX_CSR) throw new CsrError('CSR is longer than 16 KiB');
  try {
    const blocks = decodePem(csrPem, 'CERTIFICATE REQUEST');
    if (blocks.length !== 1) throw new CsrError('expected one CSR');
    return new Pkcs10CertificateRequest(blocks[0]!);
  } catch (error) {
    if (error instanceof CsrError) throw error;
    throw new CsrError('CSR is not a PKCS#10 request in PEM');
  }
}

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

function spiffeNames(request: Pkcs10CertificateRequest): string[] {
  try {
    return request
      .getExtensions(OID_SUBJECT_ALTERNATIVE_NAME)
      .flatMap((extension) => (extension as SubjectAlternativeNameExtension).names.items)
      .filter((name) => name.type === 'url' && /^spiffe:/i.test(name.value))
      .map((name) => name.value);
  } catch {
    throw new CsrError("CSR's subject alternative names cannot be parsed");
  }
}
