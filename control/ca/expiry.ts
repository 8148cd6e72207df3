/** When certificates expire. */
import { X509Certificate } from 'node:crypto';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @param pem one certificate or some @returns the first end of one; milliseconds since the epoch, Infinity for none */
export function firstExpiry(pem: string): number {
  return Math.min(...(pem.match(CERTIFICATE) ?? []).map((one) => new X509Certificate(one).validToDate.getTime()));
}
