/** TLS that ends at a proxy with certificates of its own: servers of Gateways, and ingress listeners of Sidecars. */
import type { ServerTls } from '../../../shared/resources/schema/common.ts';
import type { CertificateValidationContext, CommonTlsContext } from '../../../shared/xds/tls.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { combinedContext, exactSan } from '../wire.ts';
import { ADS, compliant, defaultTlsParams, downstreamSocket } from './tls-context.ts';

/** What every HTTP server agrees to. */
export const WEB_ALPN = ['h2', 'http/1.1'];

/** Ends the name of the Secret with the CA certificates of another Secret. */
export const CA_SUFFIX = '-cacert';

export interface ServerTlsInput {
  /** Empty: nothing is agreed on. */
  readonly alpn: readonly string[];
  readonly settings: Pick<MeshSettings, 'config'>;
  /** Of the proxies, which read its Secrets alone. */
  readonly namespace: string;
}

/** The transport socket of modes SIMPLE, MUTUAL and OPTIONAL_MUTUAL. @returns why there is none, a part of a sentence */
export function serverTlsContext(tls: ServerTls, { alpn, settings, namespace }: ServerTlsInput) {
  const foreign = foreignCredential(tls, namespace);
  if (foreign) return `credential ${foreign}: Secrets of other namespaces than ${namespace} are not read`;
  const own = ownCertificates(tls);
  if (!own) return 'no certificate is named';
  const common: CommonTlsContext = {
    ...(alpn.length > 0 && { alpnProtocols: [...alpn] }),
    tlsParams: tlsParams(tls, settings),
    ...own,
  };
  if (tls.mode === 'MUTUAL' || tls.mode === 'OPTIONAL_MUTUAL') {
    const rules = clientRules(tls);
    const named = tls.caCertCredentialName || undefined;
    if (named?.includes('://')) return `caCertCredentialName ${named}: only Secrets are read`;
    const credential = nameOf(named ?? (tls.credentialName || tls.credentialNames?.[0]) ?? '');
    const ca = tls.caCertificates || tls.tlsCertificates?.[0]?.caCertificates;
    const { caCrl: crl } = tls;
    if (credential)
      common.combinedValidationContext = combinedContext(rules, `kubernetes://${credential}${CA_SUFFIX}`, ADS);
    else if (ca)
      common.validationContext = { trustedCa: { filename: ca }, ...(crl && { crl: { filename: crl } }), ...rules };
    else return `${tls.mode} names no CA`;
  }
  return downstreamSocket({ commonTlsContext: common, requireClientCertificate: tls.mode === 'MUTUAL' });
}

/** A credential may name its namespace: `shop/cert`. */
const nameOf = (credential: string): string => credential.slice(credential.indexOf('/') + 1);

/** A Secret of another namespace: nothing grants it to the proxy. */
function foreignCredential(tls: ServerTls, namespace: string): string | undefined {
  const { credentialName = '', credentialNames = [], caCertCredentialName = '' } = tls;
  return [credentialName, ...credentialNames, caCertCredentialName].find((name) => {
    const slash = name.indexOf('/');
    return slash > 0 && !name.includes('://') && name.slice(0, slash) !== namespace;
  });
}

/** Key pairs from Secrets or files, one or several (Istio: of different key types). @returns undefined: none is named */
function ownCertificates(
  tls: ServerTls,
): Pick<CommonTlsContext, 'tlsCertificates' | 'tlsCertificateSdsSecretConfigs'> | undefined {
  const { credentialName, credentialNames = [], tlsCertificates: several = [] } = tls;
  const credentials = credentialName ? [credentialName] : credentialNames;
  if (credentials.length > 0)
    return {
      tlsCertificateSdsSecretConfigs: credentials.map((name) => ({
        name: `kubernetes://${nameOf(name)}`,
        sdsConfig: ADS,
      })),
    };
  const pairs = several.length > 0 ? several : [tls];
  if (pairs.some(({ serverCertificate, privateKey }) => !serverCertificate || !privateKey)) return undefined;
  return {
    tlsCertificates: pairs.map(({ serverCertificate, privateKey }) => ({
      certificateChain: { filename: serverCertificate },
      privateKey: { filename: privateKey },
    })),
  };
}

/** Versions and suites of a server; without any the mesh's. */
function tlsParams(tls: ServerTls, settings: Pick<MeshSettings, 'config'>): NonNullable<CommonTlsContext['tlsParams']> {
  const { cipherSuites = [], ecdhCurves = [] } = tls;
  // Envoy's own spelling, as in TLS_PARAMS.
  const version = (name: ServerTls['minProtocolVersion'] = 'TLS_AUTO') =>
    name === 'TLS_AUTO' ? undefined : (name.replace('TLSV', 'TLSv') as 'TLSV1_2');
  const [min, max] = [version(tls.minProtocolVersion), version(tls.maxProtocolVersion)];
  const params = {
    ...defaultTlsParams(settings.config),
    ...(min && { tlsMinimumProtocolVersion: min }),
    ...(max && { tlsMaximumProtocolVersion: max }),
    ...(cipherSuites.length > 0 && { cipherSuites: [...new Set(cipherSuites)] }),
    ...(ecdhCurves.length > 0 && { ecdhCurves: [...new Set(ecdhCurves)] }),
  };
  return compliant(params, settings.config);
}

/** What a client's certificate must be besides signed by the CA. */
function clientRules(tls: ServerTls): CertificateValidationContext {
  const { verifyCertificateHash = [], verifyCertificateSpki = [] } = tls;
  const sans = (tls.subjectAltNames ?? []).map(exactSan);
  return {
    ...(sans.length > 0 && { matchTypedSubjectAltNames: sans }),
    ...(verifyCertificateHash.length > 0 && { verifyCertificateHash }),
    ...(verifyCertificateSpki.length > 0 && { verifyCertificateSpki }),
    ...(tls.insecureSkipVerify && { trustChainVerification: 'ACCEPT_UNTRUSTED' as const }),
  };
}
