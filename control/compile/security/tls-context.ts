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

/** Those of TLS that is not the mesh's own: MeshConfig's tlsDefaults. Curves that are not known are ignored, as Istio's are. */
export function defaultTlsParams({ tlsDefaults }: MeshConfig): NonNullable<CommonTlsContext['tlsParams']> {
  const { cipherSuites = [], ecdhCurves = [], minProtocolVersion: min = 'TLS_AUTO' } = tlsDefaults ?? {};
  const curves = ecdhCurves.filter((curve, i) => KNOWN_CURVES.has(curve) && ecdhCurves.indexOf(curve) === i);
  return {
    ...TLS_PARAMS,
    ...(min !== 'TLS_AUTO' && { tlsMinimumProtocolVersion: min.replace('TLSV', 'TLSv') as 'TLSV1_2' }),
    ...(cipherSuites.length > 0 && { cipherSuites }),
    ...(curves.length > 0 && { ecdhCurves: curves }),
  };
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
function meshContext(sans: { exact?: string; prefix?: string }[], alpn: string[]): CommonTlsContext {
  return {
    tlsParams: TLS_PARAMS,
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
 * @param minVersion MeshConfig's meshMTLS.minProtocolVersion
 */
export function meshServerSocket(trustDomains: readonly string[], alpn: string[], minVersion?: string) {
  const sans = trustDomains.map((domain) => ({ prefix: `spiffe://${domain}/` }));
  const context = meshContext(sans, alpn);
  if (minVersion !== undefined && minVersion !== 'TLS_AUTO')
    context.tlsParams = { ...TLS_PARAMS, tlsMinimumProtocolVersion: minVersion.replace('TLSV', 'TLSv') as 'TLSV1_2' };
  return downstreamSocket({ commonTlsContext: context, requireClientCertificate: true });
}

/** The client side: `identities` are the SPIFFE ids the service may have; none known: any of the trust domain. */
export function meshClientSocket(
  identities: readonly string[],
  trustDomains: readonly string[],
  sni: string,
  alpn: string[],
) {
  const sans =
    identities.length > 0
      ? identities.map((exact) => ({ exact }))
      : trustDomains.map((domain) => ({ prefix: `spiffe://${domain}/` }));
  return upstreamSocket({ commonTlsContext: meshContext(sans, alpn), sni });
}
