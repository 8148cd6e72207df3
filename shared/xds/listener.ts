/** envoy.config.listener.v3 and the network filters. */
import { lazy, type z } from 'zod';
import { DnsCacheConfig } from './cluster.ts';
import { Address, CidrRange, Metadata, TcpKeepalive } from './core.ts';
import { NetworkExtAuthz } from './filters/ext-authz.ts';
import { Missing } from './filters/missing.ts';
import { TunnelGateway } from './filters/tunnel.ts';
import { Wasm } from './filters/wasm.ts';
import { AccessLog, HttpConnectionManager } from './http-connection-manager.ts';
import {
  any,
  bool,
  duration,
  enumeration,
  int64,
  list,
  message,
  messageRequiring,
  nonEmpty,
  string,
  uint32,
} from './message.ts';
import { NetworkRbac } from './rbac.ts';
import { DownstreamTransportSocket } from './tls.ts';

/** envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy */
export const TcpProxy = messageRequiring(
  {
    statPrefix: nonEmpty(),
    cluster: string(),
    weightedClusters: message({
      clusters: list(messageRequiring({ name: nonEmpty(), weight: uint32() }, ['name', 'weight'])),
    }),
    idleTimeout: duration(),
    maxDownstreamConnectionDuration: duration(),
    maxConnectAttempts: uint32(),
    /** Hash by source address only: the key of a hashing load balancer. */
    hashPolicy: list(messageRequiring({ sourceIp: message({}) }, ['sourceIp'])),
    /** The bytes go through an HTTP proxy: CONNECT, or POST, on a stream of the cluster. */
    tunnelingConfig: messageRequiring({ hostname: nonEmpty(), usePost: bool(), postPath: string() }, ['hostname']),
    accessLog: list(AccessLog),
  },
  ['statPrefix'],
);
export type TcpProxy = z.infer<typeof TcpProxy>;

/** envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit */
export const ConnectionLimit = messageRequiring(
  {
    statPrefix: nonEmpty(),
    maxConnections: int64(),
    runtimeEnabled: messageRequiring({ defaultValue: bool(), runtimeKey: string() }, ['defaultValue']),
  },
  ['statPrefix', 'maxConnections'],
);
export type ConnectionLimit = z.infer<typeof ConnectionLimit>;

/** envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig */
export const SniForwardProxy = messageRequiring({ dnsCacheConfig: DnsCacheConfig, portValue: uint32() }, [
  'dnsCacheConfig',
]);
export type SniForwardProxy = z.infer<typeof SniForwardProxy>;

export const NetworkFilter = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager': HttpConnectionManager,
      'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': TcpProxy,
      'envoy.extensions.filters.network.rbac.v3.RBAC': NetworkRbac,
      'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz': NetworkExtAuthz,
      'envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig': SniForwardProxy,
      'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit': ConnectionLimit,
      'envoy.extensions.filters.network.wasm.v3.Wasm': Wasm,
      'tulle.tunnel.v1.Gateway': TunnelGateway,
      'tulle.filters.network.missing.v1.Missing': Missing,
    }),
  },
  ['name', 'typedConfig'],
);
export type NetworkFilter = z.infer<typeof NetworkFilter>;

export const FilterChainMatch = message({
  destinationPort: uint32(),
  prefixRanges: list(CidrRange),
  serverNames: list(nonEmpty()),
  transportProtocol: string(),
  applicationProtocols: list(nonEmpty()),
  directSourcePrefixRanges: list(CidrRange),
  sourceType: enumeration(['ANY', 'SAME_IP_OR_LOOPBACK', 'EXTERNAL']),
  sourcePrefixRanges: list(CidrRange),
  sourcePorts: list(uint32()),
});
export type FilterChainMatch = z.infer<typeof FilterChainMatch>;

export const FilterChain = message({
  name: string(),
  filterChainMatch: FilterChainMatch,
  filters: list(NetworkFilter),
  transportSocket: DownstreamTransportSocket,
  transportSocketConnectTimeout: duration(),
  metadata: Metadata,
});
export type FilterChain = z.infer<typeof FilterChain>;

/** envoy.config.listener.v3.ListenerFilterChainMatchPredicate */
export interface ListenerPredicate {
  orMatch?: { rules?: ListenerPredicate[] | undefined } | undefined;
  andMatch?: { rules?: ListenerPredicate[] | undefined } | undefined;
  notMatch?: ListenerPredicate | undefined;
  anyMatch?: boolean | undefined;
  /** `end` is the first port behind the range. */
  destinationPortRange?: { start?: number | undefined; end?: number | undefined } | undefined;
}
const ListenerPredicate: z.ZodType<ListenerPredicate> = lazy(() =>
  message({
    orMatch: message({ rules: list(ListenerPredicate) }),
    andMatch: message({ rules: list(ListenerPredicate) }),
    notMatch: ListenerPredicate,
    anyMatch: bool(),
    destinationPortRange: message({ start: uint32(), end: uint32() }),
  }),
);

export const ListenerFilter = messageRequiring(
  {
    name: nonEmpty(),
    /** Connections that it does not look at. */
    filterDisabled: ListenerPredicate,
    typedConfig: any({
      'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': message({}),
      'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector': message({}),
      'envoy.extensions.filters.listener.original_dst.v3.OriginalDst': message({}),
    }),
  },
  ['name', 'typedConfig'],
);

export type ListenerFilter = z.infer<typeof ListenerFilter>;

export const Listener = messageRequiring(
  {
    name: nonEmpty(),
    statPrefix: string(),
    address: Address,
    filterChains: list(FilterChain),
    defaultFilterChain: FilterChain,
    useOriginalDst: bool(),
    perConnectionBufferLimitBytes: uint32(),
    metadata: Metadata,
    listenerFilters: list(ListenerFilter),
    listenerFiltersTimeout: duration(),
    continueOnListenerFiltersTimeout: bool(),
    transparent: bool(),
    trafficDirection: enumeration(['UNSPECIFIED', 'INBOUND', 'OUTBOUND']),
    bindToPort: bool(),
    drainType: enumeration(['DEFAULT', 'MODIFY_ONLY']),
    enableReusePort: bool(),
    tcpBacklogSize: uint32(),
    tcpKeepalive: TcpKeepalive,
    accessLog: list(AccessLog),
    ignoreGlobalConnLimit: bool(),
  },
  ['name', 'address'],
);
export type Listener = z.infer<typeof Listener>;
