/** Certificates that a JoinPolicy holds: whether evidence can be verified with them. */
import { type CertificateFacts, decodeCertificates, readCertificate } from '../../../identity/certificate.ts';
import { mayIssue } from '../../../identity/chain-path.ts';
import { isStrongRsa } from '../../../identity/rsa-key.ts';
import type { Report } from '../../violations.ts';

/** `chains`: chains end at them; `documents`: they sign documents themselves, with RSA. */
export type CertificateUse = 'chains' | 'documents';

const MAX_CERTIFICATES = 64;

export function checkCertificates(report: Report, path: string, pem: string, use: CertificateUse): void {
  let certificates: CertificateFacts[];
  try {
    certificates = decodeCertificates(pem).map(readCertificate);
  } catch (error) {
    report.violation(path, 'joinpolicy.certificates', `must be certificates in PEM: ${(error as Error).message}`);
    return;
  }
  if (certificates.length > MAX_CERTIFICATES)
    report.violation(path, 'joinpolicy.certificates', `must have at most ${MAX_CERTIFICATES} certificates`);
  const [useful, what] =
    use === 'chains'
      ? ([mayIssue, 'of an authority'] as const)
      : ([
          ({ publicKey }: CertificateFacts) => isStrongRsa(publicKey),
          'with an RSA key of 2048 bits or more',
        ] as const);
  for (const [i, certificate] of certificates.entries())
    if (!useful(certificate))
      report.warn(path, 'joinpolicy.never', `certificate ${i + 1} is of no use: it is not one ${what}`);
}
