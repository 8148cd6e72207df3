/** The HTTP connection manager as sidecars and gateways run it, and the TCP proxy beside it. */

import type { MeshConfig } from '../../../shared/resources/mesh-config/mesh-config.ts';
import type { Tunnel } from '../../../shared/resources/schema/destination-rule.ts';
import type { HttpConnectionManager, HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter, TcpProxy } from '../../../shared/xds/listener.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { destinationPolicy, hashPolicy } from '../cluster/consistent-hash.ts';
import type { Destinations } from '../cluster/destination-rule.ts';
import { protoDuration } from '../durations.ts';
import { generator } from '../memo.ts';
import { BLACK_HOLE } from '../names.ts';
import { ADS } from '../security/tls-context.ts';
import type { ProxyTelemetry, SideTelemetry } from '../telemetry/proxy-telemetry.ts';
import { httpFilter, listenerFilter, networkFilter } from '../wire.ts';
import { filtersInOrder, type PlacedFilters } from './filter-places.ts';
import {
  type ConnectionSettings,
  headerOptions,
  inboundCertificate,
  PRESERVED_CASE,
  type ProxyHeaders,
  withConnectionSettings,
} from './manager-settings.ts';

const FILTERS = 'envoy.extensions.filters';

type ManagerSettings = Pick<ProxySettings, 'config' | 'http' | 'telemetry'>;

type ClientCertDetails = NonNullable<HttpConnectionManager['forwardClientCertDetails']>;

/** What the ProxyConfig of a workload decides about its HTTP connection managers. */
export interface ProxyHttpSettings {
  /** `ISTIO_META_HTTP10`: HTTP/1.0 is served. */
  readonly acceptsHttp10: boolean;
  /** `TULLE_IGNORED_UPGRADES`: beginnings of protocols that are taken for no offer, separated by commas; '' none. */
  readonly ignoredUpgrades: string;
  /** `TULLE_DENIAL_HEADER`: the header of an answer 403 that names the policy and the rule; '' none. */
  readonly denialHeader: string;
  /** Of gateways: proxies in front whose X-Forwarded-For is believed (`gatewayTopology.numTrustedProxies`). */
  readonly trustedProxies: number;
  /** Of gateways: what becomes of X-Forwarded-Client-Cert (`gatewayTopology.forwardClientCertDetails`). */
  readonly forwardClientCert: ClientCertDetails;
  readonly headers: ProxyHeaders;
  readonly connections: ConnectionSettings;
}

/** The settings of the mesh as they hold for one proxy. */
export interface ProxySettings extends MeshSettings {
  readonly http: ProxyHttpSettings;
  readonly telemetry: ProxyTelemetry;
}

/** Whether requests carry `x-envoy-attempt-count` (`proxyHeaders.attemptCount`). */
export const countsAttempts = ({ http }: Pick<ProxySettings, 'http'>): boolean =>
  http.headers.attemptCount?.disabled !== true;

type ProxySettingsInput = { settings: MeshSettings; telemetry: ProxyTelemetry } & ProxyHttpSettings;

/** The settings of the mesh with those of one proxy. */
export const proxySettings = generator<ProxySettingsInput, ProxySettings>(
  {
    settings: true,
    telemetry: true,
    acceptsHttp10: true,
    ignoredUpgrades: true,
    denialHeader: true,
    trustedProxies: true,
    forwardClientCert: true,
    headers: true,
    connections: true,
  },
  ({ settings, telemetry, ...http }) => ({ ...settings, telemetry, http }),
);

export interface ManagerOptions {
  side: 'inbound' | 'outbound' | 'gateway';
  statPrefix: string;
  /** A name to ask discovery for, or the routes themselves. */
  routes: { rds: string } | { inline: NonNullable<HttpConnectionManager['routeConfig']> };
  /** Filters of policies and plugins; they run before the standard ones. */
  policies?: PlacedFilters;
  /** Clients may speak gRPC-Web: a port of that protocol is served. */
  grpcWeb?: boolean;
  /** Filters that run last, before the router. */
  last?: HttpFilter[];
}

export function httpManager(settings: ManagerSettings, options: ManagerOptions): NetworkFilter {
  const { side, routes } = options;
  const { http } = settings;
  const telemetry = settings.telemetry[side === 'inbound' ? 'server' : 'client'];
  const { logs, stats, tracing, useRequestIdForTraceSampling } = telemetry;
  return networkFilter(
    'envoy.filters.network.http_connection_manager',
    `${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`,
    withConnectionSettings(
      {
        statPrefix: options.statPrefix,
        ...('rds' in routes
          ? { rds: { configSource: ADS, routeConfigName: routes.rds } }
          : { routeConfig: routes.inline }),
        httpFilters: [
          peerMetadataFilter(side, http.headers),
          ...filtersInOrder(options.policies ?? {}),
          ...(options.grpcWeb ? [GRPC_WEB] : []),
          ...STANDARD_FILTERS,
          ...(stats ? [stats] : []),
          ...(options.last ?? []),
          http.headers.envoyDebugHeaders?.disabled ? QUIET_ROUTER : ROUTER,
        ],
        // WebSocket and the like over HTTP/2 (RFC 8441): routes grant each upgrade.
        http2ProtocolOptions: { allowConnect: true },
        streamIdleTimeout: '0s',
        useRemoteAddress: side === 'gateway',
        ...(side === 'gateway' && http.trustedProxies > 0 && { xffNumTrustedHops: http.trustedProxies }),
        ...headerOptions(http.headers),
        ...http1Options(http),
        ...denialHeader(http),
        ...clientCertificate(side, http),
        ...pathNormalization(settings.config),
        upgradeConfigs: [{ upgradeType: 'websocket' }],
        requestIdExtension: {
          typedConfig: {
            '@type': 'type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig',
            useRequestIdForTraceSampling,
          },
        },
        ...(tracing && { tracing }),
        ...(logs.length > 0 && { accessLog: logs }),
      },
      http.connections,
      side,
    ),
  );
}

/** Answers made here with 403 have the response code details, which name policy and rule. */
function denialHeader({ denialHeader: key }: ProxyHttpSettings): Pick<HttpConnectionManager, 'localReplyConfig'> {
  if (key === '') return {};
  const value = { defaultValue: 403, runtimeKey: 'tulle.denial_header' };
  const filter = { statusCodeFilter: { comparison: { op: 'EQ' as const, value } } };
  const header = { key, value: '%RESPONSE_CODE_DETAILS%' };
  const headersToAdd = [{ header, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' as const }];
  return { localReplyConfig: { mappers: [{ filter, headersToAdd }] } };
}

function http1Options({ acceptsHttp10, ignoredUpgrades, headers }: ProxyHttpSettings) {
  const prefixes = ignoredUpgrades
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
  const preservesCase = headers.preserveHttp1HeaderCase ?? false;
  if (!acceptsHttp10 && prefixes.length === 0 && !preservesCase) return {};
  return {
    httpProtocolOptions: {
      ...(acceptsHttp10 && { acceptHttp10: true }),
      ...(preservesCase && PRESERVED_CASE),
      ...(prefixes.length > 0 && { ignoreHttp11Upgrade: prefixes.map((prefix) => ({ prefix, ignoreCase: true })) }),
    },
  };
}

/** MeshConfig.pathNormalization, of every manager: inbound, outbound and gateway (buildHTTPConnectionManager of Istio). */
function pathNormalization(
  config: MeshConfig,
): Pick<HttpConnectionManager, 'normalizePath' | 'mergeSlashes' | 'pathWithEscapedSlashesAction'> {
  const rules = config.pathNormalization?.normalization ?? 'DEFAULT';
  const decodes = rules === 'DECODE_AND_MERGE_SLASHES';
  return {
    normalizePath: rules !== 'NONE',
    ...((decodes || rules === 'MERGE_SLASHES') && { mergeSlashes: true }),
    pathWithEscapedSlashesAction: decodes ? 'UNESCAPE_AND_FORWARD' : 'KEEP_UNCHANGED',
  };
}

/** What becomes of x-forwarded-client-cert: extended at the workload; at the edge of the mesh replaced by default. */
function clientCertificate(side: ManagerOptions['side'], { forwardClientCert, headers }: ProxyHttpSettings) {
  if (side === 'outbound') return {};
  if (side === 'inbound') return inboundCertificate(headers);
  return {
    forwardClientCertDetails: forwardClientCert,
    setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true },
  };
}

const FOUND_BY = [{ istio_headers: {} }, { workload_discovery: {} }];
const SENT_IN = [{ istio_headers: {} }];
/** The peer metadata filters of Istio's sidecars and gateways. First, so that requests which policies deny have a source. */
const TELLS_CLIENTS = peerMetadata({ downstream_discovery: FOUND_BY, downstream_propagation: SENT_IN });
const TELLS_SERVERS = peerMetadata({ upstream_discovery: FOUND_BY, upstream_propagation: SENT_IN });
const TELLS_MESH_SERVERS = peerMetadata({
  upstream_discovery: FOUND_BY,
  upstream_propagation: [{ istio_headers: { skip_external_clusters: true } }],
});

function peerMetadataFilter(side: ManagerOptions['side'], { metadataExchangeHeaders }: ProxyHeaders): HttpFilter {
  if (side === 'inbound') return TELLS_CLIENTS;
  return metadataExchangeHeaders?.mode === 'IN_MESH' ? TELLS_MESH_SERVERS : TELLS_SERVERS;
}

/** Optional, and a Struct: an Envoy without Istio's filters leaves it out. */
function peerMetadata(value: object): HttpFilter {
  const filter = httpFilter('istio.metadata_exchange', 'udpa.type.v1.TypedStruct', {
    typeUrl: 'type.googleapis.com/io.istio.http.peer_metadata.Config',
    value,
  });
  return { ...filter, isOptional: true };
}

const GRPC_WEB = httpFilter('envoy.filters.http.grpc_web', `${FILTERS}.http.grpc_web.v3.GrpcWeb`);

/** grpc_stats counts the messages of Istio's metrics. */
const STANDARD_FILTERS: HttpFilter[] = [
  httpFilter('envoy.filters.http.grpc_stats', `${FILTERS}.http.grpc_stats.v3.FilterConfig`, {
    emitFilterState: true,
    statsForAllMethods: false,
  }),
  httpFilter('envoy.filters.http.fault', `${FILTERS}.http.fault.v3.HTTPFault`),
  httpFilter('envoy.filters.http.cors', `${FILTERS}.http.cors.v3.Cors`),
];
const ROUTER = httpFilter('envoy.filters.http.router', `${FILTERS}.http.router.v3.Router`);
const QUIET_ROUTER = httpFilter('envoy.filters.http.router', `${FILTERS}.http.router.v3.Router`, {
  suppressEnvoyHeaders: true,
});

/** What connections are handed on with: where they are logged, and how their destinations hash them. */
export interface TcpSettings {
  readonly settings: Pick<ProxySettings, 'telemetry'>;
  readonly destinations: Destinations;
}

export function tcpProxy({ settings, destinations }: TcpSettings, cluster: string): NetworkFilter {
  return tcpProxyTo(settings.telemetry.client, {
    statPrefix: cluster,
    cluster,
    ...tcpPolicy(destinations, cluster),
  });
}

/** A tcp_proxy to a cluster that is no service: one of the standard clusters, or of the workload itself. */
export function plainTcpProxy(telemetry: Logged, cluster: string): NetworkFilter {
  return tcpProxyTo(telemetry, { statPrefix: cluster, cluster });
}

/**
 * A tcp_proxy that shares connections out by weight. Hash policy and tunnel belong to the filter: all destinations must agree
 * on them. Where they do not on a tunnel, connections are refused, as some would be sent past it.
 * @param disagree hears that they do not
 */
export function weightedTcpProxy(
  { settings, destinations }: TcpSettings,
  statPrefix: string,
  clusters: readonly { name: string; weight: number }[],
  disagree: () => void,
): NetworkFilter {
  const policies = clusters.map(({ name }) => tcpPolicy(destinations, name));
  const tunnels = new Set(policies.map(({ tunnelingConfig }) => JSON.stringify(tunnelingConfig)));
  if (tunnels.size > 1) {
    disagree();
    return plainTcpProxy(settings.telemetry.client, BLACK_HOLE);
  }
  const hashPolicy = policies.find((policy) => policy.hashPolicy)?.hashPolicy;
  const tunnelingConfig = policies[0]?.tunnelingConfig;
  const policy = { ...(hashPolicy && { hashPolicy }), ...(tunnelingConfig && { tunnelingConfig }) };
  return tcpProxyTo(settings.telemetry.client, { statPrefix, weightedClusters: { clusters }, ...policy });
}

/** What the traffic policy of a destination asks of connections: of consistent hashing they know only `useSourceIp`. */
function tcpPolicy(destinations: Destinations, cluster: string): Pick<TcpProxy, 'hashPolicy' | 'tunnelingConfig'> {
  const [direction, port, subset, hostname = ''] = cluster.split('|');
  if (direction !== 'outbound') return {};
  const policy = destinationPolicy(destinations, hostname, Number(port), subset || undefined);
  const tunnelingConfig = policy?.tunnel && tunnelOf(policy.tunnel);
  return {
    ...(policy && hashPolicy(policy)?.connectionProperties && { hashPolicy: [{ sourceIp: {} }] }),
    ...(tunnelingConfig && { tunnelingConfig }),
  };
}

function tunnelOf({ targetHost, targetPort, protocol }: Tunnel): NonNullable<TcpProxy['tunnelingConfig']> {
  const host = targetHost.includes(':') ? `[${targetHost}]` : targetHost;
  return { hostname: `${host}:${targetPort}`, ...(protocol === 'POST' && { usePost: true }) };
}

/** Where the connections of a tcp_proxy are logged. */
export type Logged = Pick<SideTelemetry, 'logs'>;
/** As in Istio, connections to the listener's own port, which go nowhere, are not logged. */
export const NOT_LOGGED: Logged = { logs: [] };

function tcpProxyTo({ logs }: Logged, target: object): NetworkFilter {
  return networkFilter('envoy.filters.network.tcp_proxy', `${FILTERS}.network.tcp_proxy.v3.TcpProxy`, {
    ...target,
    ...(logs.length > 0 && { accessLog: logs }),
  });
}

/** How long a listener waits for a client's first bytes before it takes them for plain TCP (server-first protocols). */
export function detectionTimeout({ config }: Pick<MeshSettings, 'config'>): string {
  return protoDuration(config.protocolDetectionTimeout) ?? '0s';
}

export const TLS_INSPECTOR = listenerFilter(
  'envoy.filters.listener.tls_inspector',
  `${FILTERS}.listener.tls_inspector.v3.TlsInspector`,
);
export const HTTP_INSPECTOR = listenerFilter(
  'envoy.filters.listener.http_inspector',
  `${FILTERS}.listener.http_inspector.v3.HttpInspector`,
);
export const ORIGINAL_DST = listenerFilter(
  'envoy.filters.listener.original_dst',
  `${FILTERS}.listener.original_dst.v3.OriginalDst`,
);
