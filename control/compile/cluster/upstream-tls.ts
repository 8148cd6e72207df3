/** How a proxy connects to a service: DestinationRule `tls`, else auto mTLS by what each endpoint can do. */
import { isHttp } from '../../../shared/match/protocol.ts';
import type { ClientTls, TrafficPolicy } from '../../../shared/resources/schema/destination-rule.ts';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import type { CertificateValidationContext, UpstreamTlsContext } from '../../../shared/xds/tls.ts';
import type { MeshEndpoint, MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { meshSni } from '../names.ts';
import { ADS, defaultTlsParams, meshClientSocket, RAW_BUFFER_SOCKET, upstreamSocket } from '../security/tls-context.ts';
import { combinedContext, exactSan } from '../wire.ts';
import { HTTP_OPTIONS, protocolOfCluster, type UpstreamProtocol } from './traffic-policy.ts';

/** The operating system's trusted roots, where SIMPLE names none. */
const SYSTEM_ROOTS = '/etc/ssl/certs/ca-certificates.crt';

/**
 * What a client offers in mesh mTLS: the `istio…` names tell the server's filter chains mesh from other TLS, and HTTP from
 * bytes where the port declares nothing.
 * @param choosesAlpn see `Caller`
 */
export function meshAlpn(port: ServicePort, spoken: UpstreamProtocol, choosesAlpn: boolean): string[] {
  const isDeclared = isHttp(port.protocol);
  if (!isDeclared && port.protocol !== 'UNSUPPORTED') return ['istio'];
  if (spoken !== 'http2' && (!isDeclared || spoken === 'downstream') && !choosesAlpn) return ['istio'];
  const [http1, http2] = [spoken !== 'http2', spoken !== 'http1'];
  return [
    ...(http2 ? ['istio-h2'] : []),
    ...(http1 ? ['istio-http/1.1'] : []),
    'istio',
    ...(http2 ? ['h2'] : []),
    ...(http1 ? ['http/1.1'] : []),
  ];
}

/** SPIFFE ids that endpoints of this service may present, sorted. */
export function identitiesOf(
  settings: Pick<MeshSettings, 'trustDomain' | 'trustDomainAliases'>,
  service: MeshService,
  port: ServicePort,
  endpoints: readonly MeshEndpoint[],
): string[] {
  const { trustDomain, trustDomainAliases = [] } = settings;
  const ids = new Set(service.subjectAltNames);
  for (const endpoint of endpoints)
    if (endpoint.servicePort === port.number && endpoint.serviceAccount !== '')
      for (const domain of [trustDomain, ...trustDomainAliases])
        ids.add(`spiffe://${domain}/ns/${endpoint.namespace}/sa/${endpoint.serviceAccount}`);
  return [...ids].sort();
}

export interface UpstreamTls {
  readonly settings: MeshSettings;
  readonly service: MeshService;
  readonly port: ServicePort;
  readonly subset: string | undefined;
  readonly policy: TrafficPolicy;
  readonly identities: readonly string[];
  /** Every known endpoint speaks mTLS, and there is one. */
  readonly allMtls: boolean;
  /** Secrets of the control plane go to gateways only. */
  readonly readsCredentials: boolean;
  readonly choosesAlpn: boolean;
  note(message: string): void;
}

/** Whether connections to an endpoint that takes mTLS of the mesh are such. */
export function speaksMeshTls(
  mode: ClientTls['mode'],
  service: Pick<MeshService, 'external'>,
  { enableAutoMtls }: Pick<MeshSettings, 'enableAutoMtls'>,
): boolean {
  return mode === 'ISTIO_MUTUAL' || (mode === undefined && !service.external && enableAutoMtls);
}

export function applyUpstreamTls(cluster: Cluster, input: UpstreamTls): void {
  const { settings, service, port, subset, policy } = input;
  const tls = policy.tls ?? {};
  const spoken = protocolOfCluster(cluster);
  const trustDomains = [settings.trustDomain, ...(settings.trustDomainAliases ?? [])];
  const mesh = () => {
    const { subjectAltNames: sans = [] } = tls;
    const identities = sans.length > 0 ? sans : input.identities;
    const sni = tls.sni || meshSni(port.number, subset, service.hostname);
    return meshClientSocket(identities, trustDomains, sni, meshAlpn(port, spoken, input.choosesAlpn), settings.config);
  };
  switch (tls.mode) {
    case 'ISTIO_MUTUAL':
      cluster.transportSocket = mesh();
      return;
    case 'SIMPLE':
    case 'MUTUAL':
      cluster.transportSocket = upstreamSocket(originated(input, cluster, tls));
      return;
    case 'DISABLE':
      return;
  }
  if (service.external || !settings.enableAutoMtls) return;
  if (cluster.type === 'ORIGINAL_DST') {
    // No endpoint metadata to decide by.
    if (input.allMtls) cluster.transportSocket = mesh();
    return;
  }
  cluster.transportSocketMatches = [
    { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transportSocket: mesh() },
    { name: 'tlsMode-disabled', match: {}, transportSocket: RAW_BUFFER_SOCKET },
  ];
}

/** TLS that leaves the mesh: SIMPLE and MUTUAL. */
export function originated(
  { settings, readsCredentials, note }: Pick<UpstreamTls, 'settings' | 'readsCredentials' | 'note'>,
  cluster: Cluster,
  tls: ClientTls,
): UpstreamTlsContext {
  const common: NonNullable<UpstreamTlsContext['commonTlsContext']> = {
    tlsParams: defaultTlsParams(settings.config),
  };
  const { mode, credentialName: credential, sni, subjectAltNames: sans = [] } = tls;
  if (credential) {
    // Without its secret a proxy connects to nothing: fail closed.
    if (!readsCredentials)
      note(
        'trafficPolicy.tls.credentialName: is read by gateways, and by sidecars that a workloadSelector of the rule picks: other sidecars make no connection',
      );
    if (mode === 'MUTUAL')
      common.tlsCertificateSdsSecretConfigs = [{ name: `kubernetes://${credential}`, sdsConfig: ADS }];
    if (tls.insecureSkipVerify) common.validationContext = {};
    else
      common.combinedValidationContext = combinedContext(sanMatchers(sans), `kubernetes://${credential}-cacert`, ADS);
  } else {
    const { clientCertificate: certificate, privateKey: key, caCrl: crl } = tls;
    if (mode === 'MUTUAL' && certificate && key)
      common.tlsCertificates = [{ certificateChain: { filename: certificate }, privateKey: { filename: key } }];
    if (tls.insecureSkipVerify) common.validationContext = {};
    else
      common.validationContext = {
        trustedCa: { filename: tls.caCertificates || SYSTEM_ROOTS },
        ...(crl && { crl: { filename: crl } }),
        ...sanMatchers(sans),
      };
  }
  const verified = !tls.insecureSkipVerify && sans.length === 0;
  // HTTP/2 over TLS is always agreed on (RFC 9113 section 3.2).
  if (protocolOfCluster(cluster) === 'http2') common.alpnProtocols = ['h2'];
  asksByRequest(cluster, { autoSni: !sni, autoSanValidation: !sni && verified });
  return {
    commonTlsContext: common,
    ...(sni ? { sni } : { autoHostSni: true }),
    ...(!sni && verified && { autoSniSanValidation: true }),
  };
}

/**
 * The names of requests decide (auto_sni, auto_san_validation), as in Istio. Connections that are not HTTP name no host: these
 * ask for that of the endpoint, with `autoHostSni`.
 */
function asksByRequest(cluster: Cluster, asked: { autoSni: boolean; autoSanValidation: boolean }): void {
  const { autoSni, autoSanValidation } = asked;
  if (!autoSni) return;
  const given = cluster.typedExtensionProtocolOptions?.[HTTP_OPTIONS] ?? {
    '@type': `type.googleapis.com/${HTTP_OPTIONS}` as const,
    explicitHttpConfig: { httpProtocolOptions: {} },
  };
  const upstreamHttpProtocolOptions = { autoSni, ...(autoSanValidation && { autoSanValidation }) };
  cluster.typedExtensionProtocolOptions = { [HTTP_OPTIONS]: { ...given, upstreamHttpProtocolOptions } };
}

function sanMatchers(sans: readonly string[]): CertificateValidationContext {
  if (sans.length === 0) return {};
  return {
    matchTypedSubjectAltNames: sans.map(exactSan),
  };
}
