/** A compiled upstream cluster: endpoints, load balancing, health, circuit breakers. */
import type { ProtocolName, UpstreamProtocol } from '../http/codec/codecs.ts';
import type { UpstreamHttp2Stats } from '../http/codec/h2/upstream-stats.ts';
import type { HeaderMap } from '../http/message/header-map.ts';
import type { ConnectionEnds, DialTarget, TlsContext, TunnelTarget } from '../runtime/runtime.ts';
import type { Hash64 } from './balancing/xx-hash.ts';
import type { PendingFetch } from './fetches.ts';
import type { RequestWindow } from './request-window.ts';

export interface Endpoint {
  /** `address:port`, the key of outlier state, and of pools where there is no `poolId`. */
  readonly id: string;
  /** Requests of several TLS names share the endpoint and not its connections. */
  readonly poolId?: string | undefined;
  readonly address: string;
  readonly port: number;
  /** For auto_host_rewrite and DNS clusters. */
  readonly hostname: string;
  readonly weight: number;
  readonly priority: number;
  readonly locality: string;
  /**
   * Chosen by transportSocketMatches; undefined: plaintext. Read at dial time, so a rotation takes effect at once. Throws
   * nothing: a context whose secrets are missing refuses to dial (TlsContext.unready).
   */
  readonly tls: (purpose: TlsPurpose) => TlsContext | undefined;
  /** What its connections begin with, ahead of TLS. */
  readonly preface?: DialTarget['preface'];
  /** It is behind NAT: its tunnels lead to it. */
  readonly tunnel?: TunnelTarget | undefined;
  /** filterMetadata of the endpoint: `istio.workload` names the peer in metrics. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  /** Live request count, for LEAST_REQUEST. */
  active: number;
  /** What the admin's `/clusters` shows of it; absent: not counted. */
  readonly stats?: EndpointStats;
}

/** What a connection is for, which decides the ALPN protocols that it offers; `raw`: bytes that are not read here. */
export type TlsPurpose = ProtocolName | 'raw';

export interface EndpointStats {
  cxActive: number;
  cxTotal: number;
  cxConnectFail: number;
  /** Requests that got a connection. */
  rqTotal: number;
  rqSuccess: number;
  rqError: number;
  rqTimeout: number;
}

/**
 * `unresolved`: its name has no address; `overflow`: too many names at once; `not redirected`: the connection would have to have
 * an original destination; undefined: the request names no place.
 */
export type Located = Endpoint | 'unresolved' | 'overflow' | 'not redirected' | undefined;

/** The addresses of an accepted connection; the local one is its original destination where it was redirected. */
export type AcceptedEnds = ConnectionEnds & { readonly redirected?: boolean };

/** How a retry chooses its host (RetryPolicy's retryHostPredicate and retryPriority). */
export interface RetryHostRules {
  readonly avoidPrevious: boolean;
  /** How often another host is drawn when one was tried before. */
  readonly maxAttempts: number;
  /** previous_priorities: after so many attempts their priorities are left out; 0: never. */
  readonly priorityUpdateFrequency: number;
}

export interface EndpointHealth {
  readonly eds: 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'TIMEOUT' | 'DEGRADED';
  readonly failedActiveCheck: boolean;
  /** It failed for want of an answer in time. */
  readonly activeCheckTimedOut?: boolean;
  readonly degradedActiveCheck?: boolean;
  readonly failedOutlierCheck: boolean;
}

export interface Limits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  /** Instead of `maxRetries`: percent of the requests under way or begun in the interval, and so many in any case. */
  readonly retryBudget?:
    | { readonly percent: number; readonly minConcurrency: number; readonly intervalMs?: number }
    | undefined;
  /** The metrics say what is left of each limit. */
  readonly trackRemaining?: boolean;
}

/** Live counts against the limits. */
export interface Use {
  connections: number;
  pending: number;
  requests: number;
  retries: number;
}

/** One circuit breaker. */
export interface Circuit {
  readonly limits: Limits;
  readonly use: Use;
  /** The requests of the retry budget's interval; absent: it has none. */
  readonly recent?: RequestWindow | undefined;
}

export interface DialOptions {
  /** The address connections come from. */
  readonly localAddress?: string;
  /** Idle milliseconds until the kernel's first TCP keepalive probe. */
  readonly keepAliveMs?: number;
}

/** What the connections of a cluster speak, by the version of the request; each protocol has connections of its own. */
export interface ClusterProtocols {
  /** For requests that came over HTTP/1. */
  readonly forHttp1: UpstreamProtocol;
  /** For requests that came over HTTP/2. */
  readonly forHttp2: UpstreamProtocol;
}

export interface Cluster extends Circuit {
  readonly name: string;
  readonly protocols: ClusterProtocols;
  readonly connectTimeoutMs: number;
  /** Pool limits (Envoy's circuit breakers) of this routing priority: DEFAULT, unless it is another's `high`. */
  readonly limits: Limits;
  /** Longest life of a request upstream, in milliseconds; absent or 0: none. */
  readonly maxStreamMs?: number;
  /** Longest life of a connection, in milliseconds: after it, it ends with its request. Absent or 0: none. */
  readonly maxConnectionMs?: number;
  /** How connections are dialled. */
  readonly dial?: DialOptions;
  readonly maxRequestsPerConnection: number;
  readonly idleTimeoutMs: number;
  /** The destination service of `filterMetadata.istio.services[0]`, for metrics. */
  readonly destination: { readonly host: string; readonly name: string; readonly namespace: string } | undefined;
  /** Live counts against `limits`. */
  readonly use: Use;
  /** What its HTTP/2 connections count, whatever their routing priority; absent: nothing reads it. */
  readonly http2?: UpstreamHttp2Stats;
  /** The same cluster for routes of HIGH priority: limits, counts and connections of its own. */
  readonly high?: Cluster;
  /** What its connection pools are kept by; absent: `name`. */
  readonly poolKey?: string;
  /**
   * The balancer's choice; undefined: no healthy host (UH).
   * @param hash for RING_HASH and MAGLEV; without one they choose at random
   * @param previous hosts tried before
   * @param rules how those are avoided; absent: drawn again a few times
   */
  pick(
    hash: Hash64 | undefined,
    previous: readonly Endpoint[] | undefined,
    rules?: RetryHostRules | undefined,
  ): Endpoint | undefined;
  /**
   * Instead of `pick`, where requests say themselves where they go.
   * @param authority the requested host; '' for a connection that names none
   * @param client the connection that was accepted; absent: the request is the proxy's own
   * @returns a promise, which is never rejected, while a name is looked up
   */
  resolveDestination?(
    authority: string,
    headers: HeaderMap | undefined,
    client?: AcceptedEnds | undefined,
  ): Located | Promise<Located>;
  /** The endpoint as a request for this authority sees it, whose name its TLS asks for; absent: all see the same. */
  secured?(endpoint: Endpoint, authority: string): Endpoint;
  /** The endpoint as one client's connections or requests see it, which its PROXY protocol names; absent: all see the same. */
  forClient?(endpoint: Endpoint, client: ConnectionEnds): Endpoint;
  /** What the balancer does with an endpoint now, for the admin's `/clusters`. */
  health?(endpoint: Endpoint): EndpointHealth;
  /** undefined: its endpoints are not checked. */
  healthChecks?(): HealthCheckStats | undefined;
  /** Outlier detection's input. A status, or a local-origin failure. */
  report(endpoint: Endpoint, outcome: number | 'connect-failure' | 'reset' | 'timeout'): void;
  /** A gRPC call that was reported as answered has failed at its end: what the endpoint's counters tell, and no outlier. */
  onGrpcFailure?(endpoint: Endpoint): void;
  readonly endpoints: () => readonly Endpoint[];
}

/** What active health checks found: Envoy's `cluster.<name>.health_check.…`. */
export interface HealthCheckStats {
  readonly attempt: number;
  readonly success: number;
  readonly failure: number;
  readonly networkFailure: number;
  /** Endpoints now. */
  readonly healthy: number;
  readonly degraded: number;
}

/** The proxy's clusters by name; swapped per cluster as config arrives. */
export interface ClusterSet {
  get(name: string): Cluster | undefined;
  /** Begins or joins the fetch of a cluster that is not here; undefined: it is not one that could be fetched. */
  fetch?(name: string): PendingFetch | undefined;
}
