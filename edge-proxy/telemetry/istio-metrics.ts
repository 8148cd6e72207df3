/**
 * Istio's standard metrics (istio.io/docs/reference/config/metrics), from every finished request and TCP connection.
 * What a request's labels depend on is few (cluster, endpoint, peer, protocol, code, flags), so the series are found
 * once per combination and a request costs a walk through nested maps and five additions.
 */

import { parseWorkloadId } from '../../shared/identity/spiffe.ts';
import type { Counter, Histogram, Labels, Metrics } from '../../shared/metrics/metrics.ts';
import { attributes } from '../attributes/attributes.ts';
import type { RequestContext } from '../http/request/request-context.ts';
import type { ConnectionRecord } from '../tcp/connection-record.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import {
  endpointWorkloadText,
  type Peer,
  readEndpointWorkload,
  UNKNOWN_WORKLOAD,
  type WorkloadLookup,
  type WorkloadMetadata,
} from '../upstream/workload-metadata.ts';

/** Inbound traffic is reported by the destination, outbound (and a gateway's) by the source. */
export type Direction = 'inbound' | 'outbound';

/** The workload this proxy serves. */
export interface OwnIdentity {
  readonly workload: WorkloadMetadata;
  /** Its SPIFFE id; '' before the first SVID. Read when a series is made. */
  readonly principal: () => string;
}

const LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_workload',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_service',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_service_name',
  'destination_service_namespace',
  'destination_cluster',
  'request_protocol',
  'response_code',
  'grpc_response_status',
  'response_flags',
  'connection_security_policy',
] as const;
const TCP_LABELS = LABELS.filter((name) => name !== 'response_code' && name !== 'grpc_response_status');

const UNKNOWN = 'unknown';
/** Istio's revision of a workload that names none. */
const LATEST = 'latest';
/** Distinct peers remembered per cluster and direction; a scan of peers must not fill memory. */
const MAX_CACHED = 4096;

interface RequestSeries {
  readonly total: Counter;
  readonly duration: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
}
interface TcpSeries {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly received: Counter;
  readonly sent: Counter;
}

/** A connection under way, and how many of its bytes were counted already. */
interface Live {
  readonly series: TcpSeries;
  received: number;
  sent: number;
}

/** Nested maps keyed by what a request holds already; no key is built. */
type Cache<S> = Map<unknown, Map<string, Map<Peer | string, Map<string, Map<number, S>>>>>;

export class IstioMetrics {
  private readonly own: OwnIdentity;
  private readonly workloads: WorkloadLookup;
  private readonly http;
  private readonly tcp;
  private readonly requests: Record<Direction, Cache<RequestSeries>> = { inbound: new Map(), outbound: new Map() };
  private readonly tcpSeries = new Map<string, TcpSeries>();
  private readonly live = new Map<ConnectionRecord, Live>();
  private cached = 0;

  /** @param workloads finds the clients of TCP connections, which send no metadata */
  constructor(metrics: Metrics, own: OwnIdentity, workloads: WorkloadLookup) {
    this.own = own;
    this.workloads = workloads;
    this.http = {
      total: metrics.counter('istio_requests_total', 'Requests handled by the proxy.', LABELS),
      duration: metrics.histogram('istio_request_duration_milliseconds', 'Duration of requests.', LABELS),
      requestBytes: metrics.histogram('istio_request_bytes', 'Size of request bodies.', LABELS),
      responseBytes: metrics.histogram('istio_response_bytes', 'Size of response bodies.', LABELS),
    };
    this.tcp = {
      opened: metrics.counter('istio_tcp_connections_opened_total', 'Connections opened.', TCP_LABELS),
      closed: metrics.counter('istio_tcp_connections_closed_total', 'Connections closed.', TCP_LABELS),
      received: metrics.counter('istio_tcp_received_bytes_total', 'Bytes received from downstream.', TCP_LABELS),
      sent: metrics.counter('istio_tcp_sent_bytes_total', 'Bytes sent to downstream.', TCP_LABELS),
    };
    // A connection may live for days: its bytes are counted while they flow.
    metrics.onCollect(() => {
      for (const [connection, live] of this.live) count(connection, live, live.series);
    });
  }

  /** Takes one finished request. */
  onRequest(direction: Direction, request: RequestContext): void {
    const series = this.find(direction, request);
    series.total.value++;
    series.duration.observe(request.endMs - request.startMs);
    series.requestBytes.observe(request.bytesReceived);
    series.responseBytes.observe(request.bytesSent);
  }

  /** A TCP connection has reached its upstream. */
  onConnectionOpened(direction: Direction, connection: ConnectionRecord): void {
    const series = this.findTcp(direction, connection);
    series.opened.value++;
    this.live.set(connection, { series, received: 0, sent: 0 });
  }

  /** Takes one finished TCP connection; one that never reached an upstream counts as opened and closed. */
  onConnectionClosed(direction: Direction, connection: ConnectionRecord): void {
    const series = this.findTcp(direction, connection);
    const live = this.live.get(connection);
    if (!live) series.opened.value++;
    this.live.delete(connection);
    series.closed.value++;
    count(connection, live ?? { series, received: 0, sent: 0 }, series);
  }

  private findTcp(direction: Direction, connection: ConnectionRecord): TcpSeries {
    const { cluster, endpoint, downstream, flags } = connection;
    const inbound = direction === 'inbound';
    const principal = (inbound ? attributes['source.principal'] : upstreamPrincipal)(connection) ?? '';
    const workload = inbound ? this.clientAt(principal, downstream.remoteAddress) : workloadOf(endpoint);
    const labels: Labels = {
      ...this.labels(direction, cluster, { principal, workload }, downstream.secure),
      request_protocol: 'tcp',
      response_flags: flags.join(',') || '-',
    };
    const key = Object.values(labels).join('\u0000');
    const known = this.tcpSeries.get(key);
    if (known) return known;
    const { opened, closed, received, sent } = this.tcp;
    const made: TcpSeries = {
      opened: opened.with(labels),
      closed: closed.with(labels),
      received: received.with(labels),
      sent: sent.with(labels),
    };
    if (this.tcpSeries.size < MAX_CACHED) this.tcpSeries.set(key, made);
    return made;
  }

  /** A verified client, by what discovery knows of its address. */
  private clientAt(principal: string, address: string): WorkloadMetadata {
    const namespace = namespaceOf(principal);
    return (namespace === '' ? undefined : this.workloads.at(address, namespace)) ?? UNKNOWN_WORKLOAD;
  }

  private find(direction: Direction, request: RequestContext): RequestSeries {
    if (this.cached >= MAX_CACHED) this.forget();
    // A peer is one object for as long as what is known of it stays the same.
    const peer: Peer | string = (direction === 'inbound' ? clientOf(request) : serverOf(request)) ?? '';
    const flags =
      request.flags.length === 0 ? '-' : request.flags.length === 1 ? request.flags[0]! : request.flags.join(',');
    // The cluster object is the key: when config replaces it, its labels are rebuilt.
    const byHost = nested(this.requests[direction], request.cluster);
    const byPeer = nested(byHost, request.upstreamHost ?? '');
    const byFlags = nested(byPeer, peer);
    const byCode = nested(byFlags, grpc(request) ? `${flags}\u0000grpc` : flags);
    const code = request.downstream.secure ? request.responseCode : -1 - request.responseCode;
    const known = byCode.get(code);
    if (known) return known;
    const made = this.make(direction, request, peer, flags);
    byCode.set(code, made);
    this.cached++;
    return made;
  }

  private make(direction: Direction, request: RequestContext, peer: Peer | string, flags: string): RequestSeries {
    const { cluster } = request;
    const found = typeof peer === 'string' ? { principal: peer, workload: UNKNOWN_WORKLOAD } : peer;
    const labels = {
      ...this.labels(
        direction,
        cluster,
        // Without metadata of its own a server is what discovery says of its endpoint.
        direction === 'inbound' || typeof peer !== 'string'
          ? found
          : { ...found, workload: workloadOf(cluster?.endpoints().find(({ id }) => id === request.upstreamHost)) },
        request.downstream.secure,
      ),
      request_protocol: grpc(request) ? 'grpc' : 'http',
      response_code: String(request.responseCode),
      response_flags: flags,
    };
    return {
      total: this.http.total.with(labels),
      duration: this.http.duration.with(labels),
      requestBytes: this.http.requestBytes.with(labels),
      responseBytes: this.http.responseBytes.with(labels),
    };
  }

  private labels(
    direction: Direction,
    cluster: Cluster | undefined,
    other: Identified,
    secure: boolean,
  ): Record<string, string> {
    const inbound = direction === 'inbound';
    // As documented: principals are set where peer authentication was used.
    const authenticated = other.principal !== '';
    const own: Identified = { workload: this.own.workload, principal: authenticated ? this.own.principal() : '' };
    const destination = cluster?.destination;
    return {
      reporter: inbound ? 'destination' : 'source',
      ...prefixed('source', inbound ? other : own),
      ...prefixed('destination', inbound ? own : other),
      destination_service: destination?.host ?? UNKNOWN,
      destination_service_name: destination?.name ?? cluster?.name ?? UNKNOWN,
      destination_service_namespace: destination?.namespace ?? UNKNOWN,
      // Only the destination can say; Istio's source reports read `unknown` too.
      connection_security_policy: inbound ? (secure && authenticated ? 'mutual_tls' : 'none') : UNKNOWN,
    };
  }

  private forget(): void {
    this.requests.inbound.clear();
    this.requests.outbound.clear();
    this.cached = 0;
  }
}

/** Adds what has flowed since it was last counted. */
function count(connection: ConnectionRecord, live: Live, into: TcpSeries): void {
  into.received.value += connection.bytesReceived - live.received;
  into.sent.value += connection.bytesSent - live.sent;
  live.received = connection.bytesReceived;
  live.sent = connection.bytesSent;
}

type Identified = Pick<Peer, 'principal' | 'workload'>;

/** The names and defaults of Istio's istio_stats filter. */
function prefixed(side: 'source' | 'destination', { principal, workload }: Identified): Record<string, string> {
  return {
    [`${side}_workload`]: workload.workload || UNKNOWN,
    // What the certificate says comes first.
    [`${side}_workload_namespace`]: namespaceOf(principal) || workload.namespace || UNKNOWN,
    [`${side}_principal`]: principal || UNKNOWN,
    [`${side}_app`]: workload.app || UNKNOWN,
    [`${side}_version`]: workload.version || UNKNOWN,
    [`${side}_canonical_service`]: workload.service || UNKNOWN,
    [`${side}_canonical_revision`]: workload.revision || LATEST,
    [`${side}_cluster`]: workload.cluster || UNKNOWN,
  };
}

/** '' where the principal is not a workload's. */
function namespaceOf(principal: string): string {
  try {
    return parseWorkloadId(principal).namespace;
  } catch {
    return '';
  }
}

/** Where a token names the client, the metadata is of another: of the proxy that has the connection. */
function clientOf(request: RequestContext): Peer | string | undefined {
  const peer = request.tokenPrincipal === undefined ? request.downstreamPeer : undefined;
  return peer ?? attributes['source.principal'](request);
}

function serverOf(request: RequestContext): Peer | string | undefined {
  return request.upstreamPeer ?? upstreamPrincipal(request);
}

const upstreamPrincipal = attributes['upstream.uri_san_peer_certificate'];

function workloadOf(endpoint: Endpoint | undefined): WorkloadMetadata {
  const text = endpointWorkloadText(endpoint);
  return text === undefined ? UNKNOWN_WORKLOAD : readEndpointWorkload(text);
}

function grpc(request: RequestContext): boolean {
  return request.headers.get('content-type')?.startsWith('application/grpc') === true;
}

function nested<K, L, V>(map: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let inner = map.get(key);
  if (!inner) map.set(key, (inner = new Map()));
  return inner;
}
