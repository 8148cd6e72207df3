/** Listener resources compiled to what a ListenerServer runs. */

import { LISTEN_VARIABLE } from '../../../shared/join/capture-ports.ts';
import { unixAddress } from '../../../shared/match/unix-address.ts';
import type { NetworkExtAuthz } from '../../../shared/xds/filters/ext-authz.ts';
import { MISSING_NETWORK_TYPE, type Missing } from '../../../shared/xds/filters/missing.ts';
import { TUNNEL_FILTER_TYPE, type TunnelGateway } from '../../../shared/xds/filters/tunnel.ts';
import type { Wasm } from '../../../shared/xds/filters/wasm.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type {
  ConnectionLimit,
  FilterChain,
  Listener,
  NetworkFilter,
  SniForwardProxy,
  TcpProxy as TcpProxyConfig,
} from '../../../shared/xds/listener.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import type { NetworkRbac } from '../../../shared/xds/rbac.ts';
import type { RouteConfiguration } from '../../../shared/xds/route.ts';
import type { DownstreamTlsContext } from '../../../shared/xds/tls.ts';
import { ConfigError, errorAt } from '../../config-error.ts';
import { ConnectionManager } from '../../http/downstream/connection-manager.ts';
import { HttpStats } from '../../http/downstream/http-stats.ts';
import type { ConnectionManagerOptions } from '../../http/downstream/manager-options.ts';
import type { HttpFilter } from '../../http/filters/hooks.ts';
import type { RequestObserver } from '../../http/request/request-observer.ts';
import type { RouteTable } from '../../http/routing/route-table.ts';
import { type SideCall, sideCalls } from '../../http/side-call/side-call.ts';
import type { CertificateChoice } from '../../listener/certificate-choice.ts';
import type { ConnectionFilter } from '../../listener/connection-filter.ts';
import { compileConnectionLimit } from '../../listener/connection-limit.ts';
import { compileChains } from '../../listener/filter-chain.ts';
import type { Chain, CompiledListener, Terminal } from '../../listener/listener.ts';
import type { Admission } from '../../overload/admission.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { descriptorsAt, type InheritedSockets } from '../../settings/inherited-sockets.ts';
import {
  type ConnectionObserver,
  type ConnectionRecord,
  compileConnectionObservers,
} from '../../tcp/connection-record.ts';
import { TcpProxy } from '../../tcp/tcp-proxy.ts';
import { TcpStats } from '../../tcp/tcp-stats.ts';
import { internalErrorLog } from '../../telemetry/internal-error-log.ts';
import type { Stats } from '../../telemetry/stats.ts';
import type { ClusterSet, TlsPurpose } from '../../upstream/cluster.ts';
import { sharedPool } from '../../upstream/upstream-pool.ts';
import type { Secrets } from '../tls/secrets.ts';
import { compileInspection, HTTP_INSPECTOR, TLS_INSPECTOR } from './compile-inspection.ts';

/** The compilers of what listeners hold. */
export interface ListenerDeps {
  readonly runtime: Runtime;
  readonly secrets: Secrets;
  readonly clusters: ClusterSet;
  /** For tcp_proxies of outbound listeners. */
  readonly tcpClusters: ClusterSet;
  readonly routeTable: (name: string) => RouteTable | undefined;
  readonly compileRoutes: (config: RouteConfiguration) => RouteTable;
  readonly compileHttpFilters: (config: HttpConnectionManager, call: SideCall) => readonly HttpFilter[];
  /** What this process adds where the listener is its HTTP proxy; undefined: it is another one. */
  readonly httpProxy: (listener: Listener) => ConnectionManagerOptions['httpProxy'];
  readonly compileNetworkRbac: (config: NetworkRbac, stats: Stats) => ConnectionFilter;
  readonly compileNetworkExtAuthz: (config: NetworkExtAuthz, call: SideCall, stats: Stats) => ConnectionFilter;
  readonly compileNetworkWasm: (config: Wasm) => ConnectionFilter;
  /** Takes the connections of workloads behind NAT; absent: this proxy is no gateway of theirs. */
  readonly compileTunnels?: ((config: TunnelGateway) => Terminal) | undefined;
  readonly compileNetworkMissing: (config: Missing) => ConnectionFilter;
  /** The subscribers to the requests of this connection manager: metrics, access log. */
  readonly requestObservers: (listener: Listener, config: HttpConnectionManager) => readonly RequestObserver[];
  /** The same for connections of this tcp_proxy. */
  readonly connectionObservers: (listener: Listener, config: TcpProxyConfig) => readonly ConnectionObserver[];
  /** The listener's own access log; undefined: it has none. */
  readonly connectionLog: (listener: Listener) => ((connection: ConnectionRecord) => void) | undefined;
  /** @param evenUnhealthy failed health checks alone are no reason */
  readonly draining: (evenUnhealthy: boolean) => boolean;
  readonly admission: Admission;
  /** Undefined: no connections are captured. */
  readonly sockets: InheritedSockets | undefined;
}

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const CONNECTION_LIMIT = 'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit';
const SNI_FORWARD_PROXY = 'envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig';
const RBAC = 'envoy.extensions.filters.network.rbac.v3.RBAC';
const EXT_AUTHZ = 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz';
const NETWORK_WASM = 'envoy.extensions.filters.network.wasm.v3.Wasm';
const ORIGINAL_DST = 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst';
const LISTENER_FILTERS: readonly string[] = [TLS_INSPECTOR, HTTP_INSPECTOR, ORIGINAL_DST];
const TCP_PROXY = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
/** Istio asks for it, and a limit is due where Envoy's default has none. */
const HANDSHAKE_MS = 15_000;

const typeOf = (config: { '@type': string }) => config['@type'].slice(config['@type'].lastIndexOf('/') + 1);

/**
 * @param previous chains of the last version by their JSON: an unchanged chain is kept, and with it its connections
 * @throws ConfigError naming the field
 */
export function compileListener(
  listener: Listener,
  parts: ListenerDeps,
  previous: ReadonlyMap<string, Chain>,
): { compiled: CompiledListener; chains: Map<string, Chain> } {
  refuseUnsupported(listener);
  const at = listenerAddress(listener);
  const capture = captureOf(listener, at.port, parts.sockets);
  const chains = new Map<string, Chain>();
  const isHttpProxy = parts.httpProxy(listener) !== undefined;
  const chainOf = (chain: FilterChain, path: string): Chain => {
    // What a chain takes from its listener belongs to it, too.
    const { perConnectionBufferLimitBytes, drainType, metadata } = listener;
    const key = JSON.stringify([chain, perConnectionBufferLimitBytes, drainType, isHttpProxy, metadata]);
    const compiled = previous.get(key) ?? errorAt(path, () => compileChain(listener, chain, parts));
    chains.set(key, compiled);
    return compiled;
  };
  const matched = (listener.filterChains ?? []).map((chain, i) => ({
    name: chain.name ?? `#${i}`,
    match: chain.filterChainMatch ?? {},
    chain: chainOf(chain, `filterChains[${i}]`),
  }));
  const fallback = listener.defaultFilterChain && chainOf(listener.defaultFilterChain, 'defaultFilterChain');
  if (chains.size === 0) throw new Error('filterChains: a listener needs at least one');
  const find = errorAt('filterChains', () => compileChains(matched, fallback));
  const compiled: CompiledListener = {
    name: listener.name,
    ...at,
    ...capture,
    backlog: listener.tcpBacklogSize,
    // Envoy's default is one socket a worker; here one process listens once unless asked.
    reusePort: parts.admission.sharesPorts || (listener.enableReusePort ?? false),
    find,
    chains: [...chains.values()],
    ignoresTotalLimit: listener.ignoreGlobalConnLimit ?? false,
    sniff: compileInspection(
      listener,
      [...chains.values()].some((chain) => chain.secure),
    ),
    log: errorAt('accessLog', () => parts.connectionLog(listener)),
  };
  return { compiled, chains };
}

/** Where a listener binds: an IP address and its port, or a Unix domain socket, at port 0. Throws ConfigError. */
export function listenerAddress({
  address: { socketAddress, pipe },
}: Listener): Pick<CompiledListener, 'address' | 'port' | 'mode'> {
  if (socketAddress) return { address: socketAddress.address, port: socketAddress.portValue ?? 0 };
  if (!pipe) throw new ConfigError('address', 'must be socketAddress or pipe');
  if (!/^[/@]/.test(pipe.path)) throw new ConfigError('address.pipe.path', 'must be absolute, or begin with "@"');
  return { address: unixAddress(pipe.path), port: 0, ...(pipe.mode ? { mode: pipe.mode } : {}) };
}

/** Its part in serving captured connections. @throws ConfigError where nothing is captured */
function captureOf(
  listener: Listener,
  port: number,
  sockets: InheritedSockets | undefined,
): Pick<CompiledListener, 'bindToPort' | 'descriptors' | 'handsOver'> {
  const { useOriginalDst: handsOver = false, bindToPort = true } = listener;
  const filter = (listener.listenerFilters ?? []).findIndex((item) => typeOf(item.typedConfig) === ORIGINAL_DST);
  const needs = !bindToPort ? 'bindToPort' : handsOver ? 'useOriginalDst' : `listenerFilters[${filter}]`;
  if (bindToPort && !handsOver && filter < 0) return { bindToPort, descriptors: [], handsOver };
  if (!sockets) throw new ConfigError(needs, `captured connections need ${SOCKETS}`);
  if (!bindToPort) {
    if (handsOver) throw new ConfigError('useOriginalDst', 'needs bindToPort');
    return { bindToPort, descriptors: [], handsOver };
  }
  const descriptors = descriptorsAt(sockets, port);
  if (descriptors.length === 0) throw new ConfigError(needs, `port ${port} is none of ${SOCKETS}`);
  return { bindToPort, descriptors, handsOver };
}

const SOCKETS = `inherited transparent sockets (${LISTEN_VARIABLE})`;

function refuseUnsupported(listener: Listener): void {
  const refuse = (field: string, why = 'is not supported') => {
    throw new Error(`${field}: ${why}`);
  };
  if (listener.transparent) refuse('transparent', 'is not supported: transparent sockets are inherited');
  if (listener.tcpKeepalive) refuse('tcpKeepalive');
  if (listener.perConnectionBufferLimitBytes === 0) refuse('perConnectionBufferLimitBytes', 'must be at least 1');
  if (listener.address.socketAddress?.protocol === 'UDP') refuse('address.socketAddress.protocol', 'must be TCP');
  for (const [i, filter] of (listener.listenerFilters ?? []).entries())
    if (!LISTENER_FILTERS.includes(typeOf(filter.typedConfig))) refuse(`listenerFilters[${i}]`);
}

function compileChain(listener: Listener, chain: FilterChain, parts: ListenerDeps): Chain {
  const filters = chain.filters ?? [];
  const last = filters[filters.length - 1];
  if (!last) throw new Error('filters: a filter chain needs a terminal filter');
  const before = filters
    .slice(0, -1)
    .map((filter, i) => errorAt(`filters[${i}]`, () => connectionFilter(filter, parts)));
  const terminal = errorAt(`filters[${filters.length - 1}]`, () => compileTerminal(listener, last, parts, filters));
  const tls = errorAt('transportSocket', () => downstreamTls(chain, parts.secrets, spokenBy(last)));
  return {
    name: chain.name ?? '',
    secure: tls !== undefined,
    transport: tls ? JSON.stringify(chain.transportSocket) : '',
    tls: tls ?? (() => undefined),
    handshakeMs:
      chain.transportSocketConnectTimeout === undefined
        ? HANDSHAKE_MS
        : durationMs(chain.transportSocketConnectTimeout),
    requiresSni: (chain.transportSocket?.typedConfig as DownstreamTlsContext | undefined)?.requireSni ?? false,
    filters: before,
    terminal,
  };
}

/** What a filter serves: ALPN agrees to nothing else. */
function spokenBy({ typedConfig }: NetworkFilter): TlsPurpose {
  if (typeOf(typedConfig) !== HCM) return 'raw';
  const { codecType = 'AUTO' } = typedConfig as unknown as HttpConnectionManager;
  return codecType === 'HTTP1' ? 'http1' : codecType === 'HTTP2' ? 'http2' : 'alpn';
}

function downstreamTls(chain: FilterChain, secrets: Secrets, spoken: TlsPurpose): CertificateChoice | undefined {
  const config = chain.transportSocket?.typedConfig;
  if (!config || typeOf(config).endsWith('.RawBuffer')) return undefined;
  return secrets.server(config as DownstreamTlsContext, spoken);
}

/** The port of a dynamic forward proxy by server name; 0: there is none. */
function sniPortOf(filters: readonly NetworkFilter[]): number {
  const found = filters.find((filter) => typeOf(filter.typedConfig) === SNI_FORWARD_PROXY);
  return found ? ((found.typedConfig as unknown as SniForwardProxy).portValue ?? 443) : 0;
}

function connectionFilter({ name, typedConfig }: NetworkFilter, parts: ListenerDeps): ConnectionFilter {
  switch (typeOf(typedConfig)) {
    case CONNECTION_LIMIT: {
      const judge = compileConnectionLimit(typedConfig as unknown as ConnectionLimit, parts.admission.stats);
      return ({ connection }) => judge(connection);
    }
    // The cluster looks the name up; the filter says at which port.
    case SNI_FORWARD_PROXY:
      return () => undefined;
    case RBAC:
      return parts.compileNetworkRbac(typedConfig as unknown as NetworkRbac, parts.admission.stats);
    case NETWORK_WASM:
      return parts.compileNetworkWasm(typedConfig as unknown as Wasm);
    case MISSING_NETWORK_TYPE:
      return parts.compileNetworkMissing(typedConfig as unknown as Missing);
    case EXT_AUTHZ: {
      const call = sideCalls(parts.clusters, sharedPool(parts.runtime), parts.runtime);
      return parts.compileNetworkExtAuthz(typedConfig as unknown as NetworkExtAuthz, call, parts.admission.stats);
    }
    default:
      throw new Error(`"${name}" must be the last filter`);
  }
}

function compileTerminal(
  listener: Listener,
  filter: NetworkFilter,
  parts: ListenerDeps,
  filters: readonly NetworkFilter[],
): Terminal {
  const type = typeOf(filter.typedConfig);
  if (type === TCP_PROXY) {
    const config = filter.typedConfig as TcpProxyConfig;
    const stats = new TcpStats(parts.admission.stats, config.statPrefix);
    const events = compileConnectionObservers(
      parts.connectionObservers(listener, config),
      internalErrors(listener, parts),
    );
    const clusters = listener.trafficDirection === 'OUTBOUND' ? parts.tcpClusters : parts.clusters;
    return new TcpProxy(config, clusters, parts.runtime, events, stats, sniPortOf(filters));
  }
  if (type === TUNNEL_FILTER_TYPE) {
    if (!parts.compileTunnels) throw new Error(`"${filter.name}" is not supported here`);
    return parts.compileTunnels(filter.typedConfig as unknown as TunnelGateway);
  }
  if (type !== HCM) throw new Error(`"${filter.name}" cannot be the last filter`);
  const config = filter.typedConfig as unknown as HttpConnectionManager;
  const routes = routesOf(config, parts);
  const stats = new HttpStats(parts.admission.stats, config.statPrefix);
  return new ConnectionManager({
    config,
    routes,
    filters: parts.compileHttpFilters(config, sideCalls(parts.clusters, sharedPool(parts.runtime), parts.runtime)),
    httpProxy: parts.httpProxy(listener),
    clusters: parts.clusters,
    runtime: parts.runtime,
    outbound: listener.trafficDirection === 'OUTBOUND',
    observers: [stats, ...parts.requestObservers(listener, config)],
    onInternalError: internalErrors(listener, parts),
    draining: () => parts.draining(listener.drainType === 'MODIFY_ONLY'),
    overload: parts.admission.overload,
    stats,
    bufferLimit: listener.perConnectionBufferLimitBytes,
  });
}

/** Exceptions in this proxy while it serves traffic. */
function internalErrors(listener: Listener, { runtime }: ListenerDeps): (error: unknown) => void {
  return internalErrorLog(`listener ${listener.name}`, runtime.process.log, () => runtime.monotonicMs());
}

function routesOf(config: HttpConnectionManager, parts: ListenerDeps): () => RouteTable | undefined {
  if (config.rds && config.routeConfig) throw new Error('needs exactly one of rds and routeConfig');
  if (config.rds) {
    const name = config.rds.routeConfigName;
    return () => parts.routeTable(name);
  }
  if (!config.routeConfig) throw new Error('needs rds or routeConfig');
  const table = parts.compileRoutes(config.routeConfig);
  return () => table;
}
