/** Certificate signing requests (PKCS#10). */
import { type Keys, signingAlgorithm } from './keys.ts';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from './x509.ts';

/**
 * A CSR in PEM. The authority decides the names by who asks, not by what the CSR says; `spiffeId`, when the workload
 * knows its own, makes the authority refuse a mix-up.
 */
export async function createCsr(keys: Keys, spiffeId?: string): Promise<string> {
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm,
    extensions: spiffeId ? [new SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId }], true)] : [],
  });
  return `${request.toString('pem').trim()}\n`;
}
