/** TLS of a Gateway's server: its certificates, and what it asks of clients. */
import type { ServerTls } from '../../../shared/resources/schema/common.ts';
import type { FilterChain } from '../../../shared/xds/listener.ts';
import type { CertificateValidationContext, CommonTlsContext } from '../../../shared/xds/tls.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { ADS, compliant, defaultTlsParams, downstreamSocket, meshServerSocket } from '../security/tls-context.ts';
import { AGREED_TCP_ALPN, WEB_ALPN } from '../sidecar/inbound.ts';
import { combinedContext, exactSan } from '../wire.ts';
import type { GatewayServer } from './gateway-server.ts';
import { CA_SUFFIX } from './secrets.ts';

export interface GatewayTls {
  readonly settings: MeshSettings;
  note(message: string): void;
}

/** undefined, and noted: the server names no certificate. Without one nothing is served. */
export function gatewayTlsSocket(
  server: GatewayServer,
  { settings, note }: GatewayTls,
): FilterChain['transportSocket'] | undefined {
  const tls = server.tls ?? {};
  const { trustDomain, trustDomainAliases = [] } = settings;
  const alpn = server.kind === 'tls' ? [] : WEB_ALPN;
  const mode = tls.mode ?? 'SIMPLE';
  if (mode === 'ISTIO_MUTUAL')
    return meshServerSocket(
      [trustDomain, ...trustDomainAliases],
      server.kind === 'tls' ? AGREED_TCP_ALPN : WEB_ALPN,
      settings.config,
    );
  const refuse = (reason: string) => {
    note(`Gateway ${server.gateway} port ${server.port}: ${reason}: not served`);
    return undefined;
  };
  const own = ownCertificates(tls);
  if (!own) return refuse('no certificate is named');
  const common: CommonTlsContext = {
    ...(alpn.length > 0 && { alpnProtocols: [...alpn] }),
    tlsParams: tlsParams(tls, settings),
    ...own,
  };
  if (mode === 'MUTUAL' || mode === 'OPTIONAL_MUTUAL') {
    const rules = clientRules(tls);
    const named = tls.caCertCredentialName || undefined;
    if (named?.includes('://')) return refuse(`caCertCredentialName ${named}: only Secrets are read`);
    const credential = named ?? (tls.credentialName || tls.credentialNames?.[0]);
    const ca = tls.caCertificates || tls.tlsCertificates?.[0]?.caCertificates;
    const { caCrl: crl } = tls;
    if (credential)
      common.combinedValidationContext = combinedContext(rules, `kubernetes://${credential}${CA_SUFFIX}`, ADS);
    else if (ca)
      common.validationContext = { trustedCa: { filename: ca }, ...(crl && { crl: { filename: crl } }), ...rules };
    else return refuse(`${mode} names no CA`);
  }
  return downstreamSocket({ commonTlsContext: common, requireClientCertificate: mode === 'MUTUAL' });
}

/** Key pairs from Secrets or files, one or several (Istio: of different key types). @returns undefined: none is named */
function ownCertificates(
  tls: ServerTls,
): Pick<CommonTlsContext, 'tlsCertificates' | 'tlsCertificateSdsSecretConfigs'> | undefined {
  const { credentialName, credentialNames = [], tlsCertificates: several = [] } = tls;
  const credentials = credentialName ? [credentialName] : credentialNames;
  if (credentials.length > 0)
    return {
      tlsCertificateSdsSecretConfigs: credentials.map((name) => ({ name: `kubernetes://${name}`, sdsConfig: ADS })),
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
function tlsParams(tls: ServerTls, settings: MeshSettings): NonNullable<CommonTlsContext['tlsParams']> {
  const { cipherSuites = [], ecdhCurves = [] } = tls;
  // Envoy's own spelling, as in TLS_PARAMS.
  const version = (name: ServerTls['minProtocolVersion'] = 'TLS_AUTO') =>
    name === 'TLS_AUTO' ? undefined : (name.replace('TLSV', 'TLSv') as 'TLSV1_2');
  const [min, max] = [version(tls.minProtocolVersion), version(tls.maxProtocolVersion)];
  const params = {
    ...defaultTlsParams(settings.config),
    ...(min && { tlsMinimumProtocolVersion: min }),
    ...(max && { tlsMaximumProtocolVersion: max }),
    ...(cipherSuites.length > 0 && { cipherSuites }),
    ...(ecdhCurves.length > 0 && { ecdhCurves }),
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
