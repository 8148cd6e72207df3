/** TLS contexts of mesh connections. Key pair and trust bundle (`default`, `ROOTCA`) are the proxy's own, never sent to it. */
import type { MeshConfig } from '../../../shared/resources/mesh-config/mesh-config.ts';
import type { ConfigSource } from '../../../shared/xds/core.ts';
import type { CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext } from '../../../shared/xds/tls.ts';
import { clientSocket, combinedContext, sanMatcher, serverSocket } from '../wire.ts';

export const ADS: ConfigSource = { ads: {}, resourceApiVersion: 'V3' };
const DOWNSTREAM = 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
const UPSTREAM = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';

/** Envoy's own spelling; the wire types name them in capitals, as they read any case. */
const TLS_PARAMS = {
  tlsMinimumProtocolVersion: 'TLSv1_2' as unknown as 'TLSV1_2',
  tlsMaximumProtocolVersion: 'TLSv1_3' as unknown as 'TLSV1_3',
};

const KNOWN_CURVES: ReadonlySet<string> = new Set(['P-256', 'P-384', 'P-521', 'X25519', 'X25519MLKEM768']);

type TlsParams = NonNullable<CommonTlsContext['tlsParams']>;

/** Suites of TLS 1.2 that FIPS 140-2 admits (authn/model of Istio's pilot/pkg/security). */
const FIPS_SUITES = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
];

/** MeshConfig.compliancePolicy over what is configured: `fips-140-2` is TLS 1.2 with suites of FIPS on P-256. */
export function compliant(params: TlsParams, { compliancePolicy }: Pick<MeshConfig, 'compliancePolicy'>): TlsParams {
  if (compliancePolicy !== 'fips-140-2') return params;
  const { cipherSuites = FIPS_SUITES } = params;
  const allowed = cipherSuites.filter((suite) => FIPS_SUITES.includes(suite));
  return {
    tlsMinimumProtocolVersion: 'TLSv1_2' as unknown as 'TLSV1_2',
    tlsMaximumProtocolVersion: 'TLSv1_2' as unknown as 'TLSV1_2',
    cipherSuites: allowed.length > 0 ? allowed : FIPS_SUITES,
    ecdhCurves: ['P-256'],
  };
}

/** Those of TLS that is not the mesh's own: MeshConfig's tlsDefaults. Curves that are not known are ignored, as Istio's are. */
export function defaultTlsParams(config: MeshConfig): TlsParams {
  const { tlsDefaults } = config;
  const { cipherSuites = [], ecdhCurves = [], minProtocolVersion: min = 'TLS_AUTO' } = tlsDefaults ?? {};
  const curves = ecdhCurves.filter((curve, i) => KNOWN_CURVES.has(curve) && ecdhCurves.indexOf(curve) === i);
  const params = {
    ...TLS_PARAMS,
    ...(min !== 'TLS_AUTO' && { tlsMinimumProtocolVersion: min.replace('TLSV', 'TLSv') as 'TLSV1_2' }),
    ...(cipherSuites.length > 0 && { cipherSuites }),
    ...(curves.length > 0 && { ecdhCurves: curves }),
  };
  return compliant(params, config);
}

/** What meshMTLS says of servers of the mesh. */
function meshTlsParams(config: MeshConfig): TlsParams {
  const { cipherSuites = [], minProtocolVersion: min = 'TLS_AUTO' } = config.meshMTLS ?? {};
  const params = {
    ...TLS_PARAMS,
    ...(min !== 'TLS_AUTO' && { tlsMinimumProtocolVersion: min.replace('TLSV', 'TLSv') as 'TLSV1_2' }),
    ...(cipherSuites.length > 0 && { cipherSuites }),
  };
  return compliant(params, config);
}

export function downstreamSocket(context: DownstreamTlsContext) {
  return serverSocket('envoy.transport_sockets.tls', DOWNSTREAM, context);
}
export function upstreamSocket(context: UpstreamTlsContext) {
  return clientSocket('envoy.transport_sockets.tls', UPSTREAM, context);
}
export const RAW_BUFFER_SOCKET = clientSocket(
  'envoy.transport_sockets.raw_buffer',
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
  {},
);

/** `sans`: what the peer's URI name must match, one of them. */
function meshContext(
  sans: { exact?: string; prefix?: string }[],
  alpn: string[],
  tlsParams: TlsParams,
): CommonTlsContext {
  return {
    tlsParams,
    tlsCertificateSdsSecretConfigs: [{ name: 'default', sdsConfig: ADS }],
    combinedValidationContext: combinedContext(
      { matchTypedSubjectAltNames: sans.map((matcher) => sanMatcher('URI', matcher)) },
      'ROOTCA',
      ADS,
    ),
    alpnProtocols: alpn,
  };
}

/**
 * The server side of mesh mTLS: any workload of the trust domain may connect; policy decides what it may do.
 * @param config its meshMTLS and compliancePolicy
 */
export function meshServerSocket(trustDomains: readonly string[], alpn: string[], config: MeshConfig) {
  const sans = trustDomains.map((domain) => ({ prefix: `spiffe://${domain}/` }));
  const context = meshContext(sans, alpn, meshTlsParams(config));
  return downstreamSocket({ commonTlsContext: context, requireClientCertificate: true });
}

/** The client side: `identities` are the SPIFFE ids the service may have; none known: any of the trust domain. */
export function meshClientSocket(
  identities: readonly string[],
  trustDomains: readonly string[],
  sni: string,
  alpn: string[],
  config: MeshConfig,
) {
  const sans =
    identities.length > 0
      ? identities.map((exact) => ({ exact }))
      : trustDomains.map((domain) => ({ prefix: `spiffe://${domain}/` }));
  return upstreamSocket({ commonTlsContext: meshContext(sans, alpn, compliant(TLS_PARAMS, config)), sni });
}
