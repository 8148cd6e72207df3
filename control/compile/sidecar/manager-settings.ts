/** What `proxyHeaders` and `connectionSettings` of a ProxyConfig make of HTTP connection managers and their listeners. */
import type { MeshProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-proxy.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type { Listener, NetworkFilter } from '../../../shared/xds/listener.ts';
import { protoDuration } from '../durations.ts';
import { networkFilter } from '../wire.ts';

export type ProxyHeaders = NonNullable<MeshProxyConfig['proxyHeaders']>;
export type ConnectionSettings = NonNullable<MeshProxyConfig['connectionSettings']>;
export type ManagerSide = 'inbound' | 'outbound' | 'gateway';

const SERVER_NAME = 'tulle';

type HeaderOptions = Pick<
  HttpConnectionManager,
  'serverName' | 'serverHeaderTransformation' | 'generateRequestId' | 'appendXForwardedPort' | 'httpProtocolOptions'
>;

/** As GetProxyHeadersFromProxyConfig of Istio (pilot/pkg/networking/util/proxy_headers.go). */
export function headerOptions({
  server,
  requestId,
  xForwardedPort,
}: ProxyHeaders): Omit<HeaderOptions, 'httpProtocolOptions'> {
  return {
    ...(server?.disabled
      ? { serverHeaderTransformation: 'PASS_THROUGH' as const }
      : { serverName: server?.value || SERVER_NAME }),
    ...(requestId?.disabled && { generateRequestId: false }),
    ...(xForwardedPort?.enabled && { appendXForwardedPort: true }),
  };
}

/** Tulle keeps the case of names anyway; an Envoy does with this. */
export const PRESERVED_CASE = {
  headerKeyFormat: {
    statefulFormatter: {
      name: 'preserve_case',
      typedConfig: {
        '@type':
          'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
      },
    },
  },
} as const satisfies HttpConnectionManager['httpProtocolOptions'];

type CertificateFields = HttpConnectionManager['setCurrentClientCertDetails'];
type Forwarding = Pick<HttpConnectionManager, 'forwardClientCertDetails' | 'setCurrentClientCertDetails'>;

/** What becomes of X-Forwarded-Client-Cert at the workload: extended, unless `forwardedClientCert` says otherwise. */
export function inboundCertificate({ forwardedClientCert, setCurrentClientCertDetails }: ProxyHeaders): Forwarding {
  const details =
    forwardedClientCert === undefined || forwardedClientCert === 'UNDEFINED' ? 'APPEND_FORWARD' : forwardedClientCert;
  return {
    // Envoy's default is left out, as in Istio.
    ...(details !== 'SANITIZE' && { forwardClientCertDetails: details }),
    setCurrentClientCertDetails: certificateFields(setCurrentClientCertDetails),
  };
}

function certificateFields(wanted: ProxyHeaders['setCurrentClientCertDetails']): CertificateFields {
  const fields = Object.entries({ subject: true, dns: true, uri: true, ...wanted });
  return Object.fromEntries(fields.filter(([, value]) => value === true));
}

/** What an EDGE profile sets at gateways, beneath what is written (applyEdgeProfileDefaults of Istio). */
const EDGE: ConnectionSettings = {
  listenerPerConnectionBufferLimitBytes: 32768,
  httpIdleTimeout: '3600s',
  httpStreamIdleTimeout: '300s',
  httpRequestTimeout: '300s',
  httpRequestHeadersTimeout: '60s',
  httpMaxConcurrentStreams: 100,
  http2InitialStreamWindowSize: 65536,
  http2InitialConnectionWindowSize: 1048576,
  httpHeadersWithUnderscoresAction: 'REJECT_REQUEST',
  httpMergeSlashes: true,
  httpPathWithEscapedSlashesAction: 'UNESCAPE_AND_REDIRECT',
};

const atSide = (settings: ConnectionSettings, side: ManagerSide): ConnectionSettings =>
  settings.profile === 'EDGE' && side === 'gateway' ? { ...EDGE, ...settings } : settings;

/** Istio leaves out what is negative. */
const size = (bytes: number | undefined) => (bytes !== undefined && bytes >= 0 ? bytes : undefined);

type ConnectionOptions = Pick<
  HttpConnectionManager,
  | 'commonHttpProtocolOptions'
  | 'streamIdleTimeout'
  | 'requestTimeout'
  | 'requestHeadersTimeout'
  | 'http2ProtocolOptions'
  | 'normalizePath'
  | 'mergeSlashes'
  | 'pathWithEscapedSlashesAction'
>;

/** As applyConnectionSettingsToHCM of Istio; over `base`, which has what MeshConfig says. */
export function withConnectionSettings<Base extends ConnectionOptions>(
  base: Base,
  written: ConnectionSettings,
  side: ManagerSide,
): Base & ConnectionOptions {
  const own = atSide(written, side);
  const common = {
    idleTimeout: protoDuration(own.httpIdleTimeout),
    headersWithUnderscoresAction: action<'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'>(
      own.httpHeadersWithUnderscoresAction,
      'HEADERS_WITH_UNDERSCORES_',
    ),
  };
  const http2 = {
    maxConcurrentStreams: size(own.httpMaxConcurrentStreams),
    initialStreamWindowSize: size(own.http2InitialStreamWindowSize),
    initialConnectionWindowSize: size(own.http2InitialConnectionWindowSize),
  };
  const options: ConnectionOptions = {
    commonHttpProtocolOptions: nonEmpty({ ...base.commonHttpProtocolOptions, ...set(common) }),
    http2ProtocolOptions: nonEmpty({ ...base.http2ProtocolOptions, ...set(http2) }),
    streamIdleTimeout: protoDuration(own.httpStreamIdleTimeout),
    requestTimeout: protoDuration(own.httpRequestTimeout),
    requestHeadersTimeout: protoDuration(own.httpRequestHeadersTimeout),
    normalizePath: own.httpNormalizePath,
    mergeSlashes: own.httpMergeSlashes,
    pathWithEscapedSlashesAction: action(own.httpPathWithEscapedSlashesAction, 'PATH_WITH_ESCAPED_SLASHES_'),
  };
  return { ...base, ...set(options) };
}

/** Names of both spellings as Envoy has them; UNSPECIFIED is none. */
function action<Name extends string = never>(written: string | undefined, prefix: string): Name | undefined {
  const name = written?.replace(prefix, '');
  return name === undefined || name === 'UNSPECIFIED' ? undefined : (name as Name);
}

function set<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
}

const nonEmpty = <Fields extends object>(fields: Fields): Fields | undefined =>
  Object.keys(fields).length === 0 ? undefined : fields;

/** The buffer of a listener's connections, and how many it may have. */
export function withListenerSettings(listener: Listener, written: ConnectionSettings, side: ManagerSide): Listener {
  const { listenerPerConnectionBufferLimitBytes, listenerConnectionLimit } = atSide(written, side);
  const buffer = size(listenerPerConnectionBufferLimitBytes);
  const limit = size(listenerConnectionLimit);
  if (!buffer && !limit) return listener;
  const limited = (filters: NetworkFilter[] = []) => (limit ? [connectionLimit(limit), ...filters] : filters);
  return {
    ...listener,
    ...(buffer && { perConnectionBufferLimitBytes: buffer }),
    ...(listener.filterChains && {
      filterChains: listener.filterChains.map((chain) => ({ ...chain, filters: limited(chain.filters) })),
    }),
    ...(listener.defaultFilterChain && {
      defaultFilterChain: { ...listener.defaultFilterChain, filters: limited(listener.defaultFilterChain.filters) },
    }),
  };
}

const connectionLimit = (maxConnections: number): NetworkFilter =>
  networkFilter(
    'envoy.filters.network.connection_limit',
    'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
    { statPrefix: 'listener_connection_limit', maxConnections },
  );
