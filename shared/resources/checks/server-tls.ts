/** TLS settings of a Gateway's server. */

import { didYouMean } from '../read/suggest.ts';
import type { ServerTls } from '../schema/common.ts';
import type { Report } from '../violations.ts';

const CIPHERS: ReadonlySet<string> = new Set(
  (
    'ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,' +
    'ECDHE-ECDSA-CHACHA20-POLY1305,ECDHE-RSA-CHACHA20-POLY1305,ECDHE-ECDSA-AES128-SHA,ECDHE-RSA-AES128-SHA,' +
    'ECDHE-ECDSA-AES256-SHA,ECDHE-RSA-AES256-SHA,AES128-GCM-SHA256,AES256-GCM-SHA384,AES128-SHA,AES256-SHA,DES-CBC3-SHA'
  ).split(','),
);
const OWN = ['serverCertificate', 'privateKey', 'caCertificates'] as const;

export function checkServerTls(report: Report, path: string, tls: ServerTls): void {
  const violation = (field: string, message: string) => report.violation(`${path}${field}`, 'gateway.tls', message);
  for (const [i, suite] of (tls.cipherSuites ?? []).entries()) {
    const at = `${path}.cipherSuites[${i}]`;
    // "ALL" and BoringSSL's operators (`-suite`, `+suite`, `[a|b]`) are left to it.
    const operator = suite === '' || suite === 'ALL' || !/^[A-Za-z0-9]/.test(suite);
    if (!operator && !CIPHERS.has(suite))
      report.warn(at, 'gateway.tls', `unknown cipher suite "${suite}"${didYouMean(suite, [...CIPHERS])} is ignored`);
    if (tls.cipherSuites?.indexOf(suite) !== i) report.warn(at, 'gateway.tls', `"${suite}" is set twice`);
  }
  const { minProtocolVersion: min } = tls;
  if ((min === 'TLSV1_0' || min === 'TLSV1_1') && !tls.cipherSuites?.length) {
    const message = `${min} needs cipherSuites: those of default are for TLS 1.2 and newer`;
    report.warn(`${path}.minProtocolVersion`, 'gateway.tls', message);
  }
  const mode = tls.mode ?? 'PASSTHROUGH';
  if (mode === 'ISTIO_MUTUAL') {
    for (const field of [...OWN, 'credentialName', 'credentialNames', 'tlsCertificates'] as const) {
      if (hasValue(tls[field]))
        violation(`.${field}`, 'cannot be set with mode ISTIO_MUTUAL: the mesh provides the certificates');
    }
    return;
  }
  if (mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') {
    for (const field of [...OWN, 'caCrl', 'credentialName', 'credentialNames', 'tlsCertificates'] as const) {
      if (hasValue(tls[field])) report.warn(`${path}.${field}`, 'gateway.tls', `is not used with mode ${mode}`);
    }
    return;
  }
  checkCertificates(report, path, tls, mode);
}

function checkCertificates(report: Report, path: string, tls: ServerTls, mode: string): void {
  const violation = (field: string, message: string) => report.violation(`${path}${field}`, 'gateway.tls', message);
  const sources = [
    tls.credentialName ? 'credentialName' : undefined,
    tls.credentialNames?.length ? 'credentialNames' : undefined,
    tls.tlsCertificates?.length ? 'tlsCertificates' : undefined,
    tls.serverCertificate ? 'serverCertificate' : undefined,
  ].filter((source) => source !== undefined);
  if (sources.length > 1) violation('', `only one of ${sources.join(', ')} may be set`);
  if (tls.credentialName || tls.credentialNames?.length) {
    if (tls.caCrl)
      report.warn(`${path}.caCrl`, 'gateway.tls', 'is not used with a credentialName: put it in the credential');
    return;
  }
  if (tls.caCrl && mode === 'SIMPLE') violation('.caCrl', 'is not supported with mode SIMPLE');
  if (tls.tlsCertificates?.length) {
    for (const [i, each] of tls.tlsCertificates.entries()) {
      if (!each.serverCertificate) violation(`.tlsCertificates[${i}].serverCertificate`, 'is required');
      if (!each.privateKey) violation(`.tlsCertificates[${i}].privateKey`, 'is required');
    }
  } else {
    if (!tls.serverCertificate) violation('.serverCertificate', `is required with mode ${mode} (or a credentialName)`);
    if (!tls.privateKey) violation('.privateKey', `is required with mode ${mode} (or a credentialName)`);
  }
  if (/MUTUAL$/.test(mode) && !tls.caCertificates && !tls.caCertCredentialName) {
    violation('.caCertificates', `is required with mode ${mode} (or a credentialName)`);
  }
}

function hasValue(field: string | unknown[] | undefined): boolean {
  return field !== undefined && field.length > 0;
}
