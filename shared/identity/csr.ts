/** Certificate signing requests (PKCS#10). */
import { type Keys, signingAlgorithm } from './keys.ts';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from './x509.ts';

/**
 * A CSR in PEM. The authority takes the names from the caller's identity, not from the CSR; with `spiffeId` the authority
 * refuses a CSR that names another workload.
 */
export async function createCsr(keys: Keys, spiffeId?: string): Promise<string> {
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm,
    extensions: spiffeId ? [new SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId }], true)] : [],
  });
  return `${request.toString('pem').trim()}\n`;
}
