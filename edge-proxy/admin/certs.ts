/** Envoy's `/certs`: what certificates and roots the proxy holds, and for how long they are good. Never a key. */
import { parseCertificates } from '../../shared/identity/svid.ts';
import { SubjectAlternativeNameExtension, type X509Certificate } from '../../shared/identity/x509.ts';

/** PEM of one secret. */
export interface HeldCertificates {
  readonly name: string;
  readonly chain: string | undefined;
  readonly roots: string | undefined;
}

const DAY_MS = 86_400_000;
const SAN_KINDS: Readonly<Record<string, string>> = { url: 'uri', dns: 'dns', ip: 'ip_address', email: 'email' };

/** The answer of `/certs`, in Envoy's JSON. @param now milliseconds since the epoch */
export function certsJson(held: readonly HeldCertificates[], now: number): object {
  return {
    certificates: held.map(({ name, chain, roots }) => ({
      ca_cert: details(name, roots, now),
      cert_chain: details(name, chain, now),
    })),
  };
}

function details(path: string, pem: string | undefined, now: number): object[] {
  if (pem === undefined) return [];
  try {
    return parseCertificates(pem).map((certificate) => ({
      path,
      serial_number: certificate.serialNumber,
      subject_alt_names: namesOf(certificate),
      days_until_expiration: String(Math.max(0, Math.floor((certificate.notAfter.getTime() - now) / DAY_MS))),
      valid_from: certificate.notBefore.toISOString(),
      expiration_time: certificate.notAfter.toISOString(),
    }));
  } catch {
    return [];
  }
}

function namesOf(certificate: X509Certificate): object[] {
  const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  return names.map(({ type, value }) => ({ [SAN_KINDS[type] ?? type]: value }));
}
