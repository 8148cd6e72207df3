/** TlsParameters of a context, as the runtimes take them. */
import type { CommonTlsContext } from '../../../shared/xds/tls.ts';

type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** Envoy's `[A|B]`, ciphers of equal preference, is read as a list. */
export function chosen(common: CommonTlsContext): {
  cipherSuites: string[];
  curves: string[];
  signatureAlgorithms: string[];
} {
  const { cipherSuites = [], ecdhCurves = [], signatureAlgorithms = [] } = common.tlsParams ?? {};
  return {
    cipherSuites: cipherSuites.flatMap((suite) => suite.replace(/^\[(.*)\]$/, '$1').split('|')),
    curves: ecdhCurves,
    signatureAlgorithms,
  };
}

/** @throws Error where only versions are allowed that are not spoken */
export function tlsVersions(common: CommonTlsContext): { minVersion: TlsVersion; maxVersion: TlsVersion } {
  const min = common.tlsParams?.tlsMinimumProtocolVersion ?? 'TLS_AUTO';
  const max = common.tlsParams?.tlsMaximumProtocolVersion ?? 'TLS_AUTO';
  if (max === 'TLSV1_0' || max === 'TLSV1_1') throw new Error('TLS: versions before 1.2 are not supported');
  // A lower minimum is raised: 1.0 and 1.1 are not spoken.
  return {
    minVersion: min === 'TLSV1_3' ? 'TLSv1.3' : 'TLSv1.2',
    maxVersion: max === 'TLSV1_2' ? 'TLSv1.2' : 'TLSv1.3',
  };
}
