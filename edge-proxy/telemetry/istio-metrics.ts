/**
 * Istio's standard metrics (istio.io/docs/reference/config/metrics), from every finished request and TCP connection.
 * What a request's labels depend on is few (cluster, endpoint, peer, protocol, code, flags), so the series are found
 * once per combination and a request costs a walk through nested maps and five additions.
 */

import type { Counter, Histogram, Labels, Metrics } from '../../shared/metrics/metrics.ts';
import { attributes } from '../attributes/attributes.ts';
import { INVALID_STATUS, LAST_GRPC_STATUS } from '../http/grpc/status.ts';
import type { RequestContext } from '../http/request/request-context.ts';
import type { ConnectionRecord } from '../tcp/connection-record.ts';
import {
  type Peer,
  UNKNOWN_WORKLOAD,
  type WorkloadLookup,
  type WorkloadMetadata,
} from '../upstream/workload-metadata.ts';
import {
  type Direction,
  identified,
  LABELS,
  labelsOf,
  MESSAGE_LABELS,
  namespaceOf,
  type OwnIdentity,
  peerOf,
  TCP_LABELS,
  upstreamPrincipal,
  workloadOf,
} from './istio-labels.ts';

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

/** gRPC messages of one stream, and how many of them were counted already. */
interface MessageSeries {
  readonly requests: Counter;
  readonly responses: Counter;
}
interface LiveMessages {
  readonly series: MessageSeries;
  requests: number;
  responses: number;
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
  private readonly messages;
  /** By cluster, endpoint and peer. */
  private readonly messageSeries: Record<Direction, Map<unknown, Map<string, Map<Peer | string, MessageSeries>>>> = {
    inbound: new Map(),
    outbound: new Map(),
  };
  private readonly liveMessages = new Map<RequestContext, LiveMessages>();
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
    this.messages = {
      requests: metrics.counter('istio_request_messages_total', 'gRPC messages of requests.', MESSAGE_LABELS),
      responses: metrics.counter('istio_response_messages_total', 'gRPC messages of responses.', MESSAGE_LABELS),
    };
    // Connections and streams may live for days: what flows is counted meanwhile.
    metrics.onCollect(() => {
      for (const [request, live] of this.liveMessages) countMessages(request, live);
      for (const [connection, live] of this.live) count(connection, live, live.series);
    });
  }

  /** The response of a request begins: its gRPC messages are counted from now on, where it is gRPC. */
  onResponse(direction: Direction, request: RequestContext): void {
    if (request.grpcMessages !== undefined) this.liveMessages.set(request, this.messagesOf(direction, request));
  }

  private messagesOf(direction: Direction, request: RequestContext): LiveMessages {
    const peer = peerOf(direction, request);
    const byHost = nested(this.messageSeries[direction], request.cluster);
    const byPeer = nested(byHost, request.upstreamHost ?? '');
    let series = byPeer.get(peer);
    if (!series) {
      const { cluster, downstream } = request;
      const all = labelsOf(this.own, direction, cluster, identified(direction, request, peer), downstream.secure);
      const labels = Object.fromEntries(MESSAGE_LABELS.map((name) => [name, all[name]!]));
      series = { requests: this.messages.requests.with(labels), responses: this.messages.responses.with(labels) };
      byPeer.set(peer, series);
      this.cached++;
    }
    return { series, requests: 0, responses: 0 };
  }

  /** Takes one finished request. */
  onRequest(direction: Direction, request: RequestContext): void {
    if (request.carriesRequests) return;
    if (request.grpcMessages !== undefined) {
      countMessages(request, this.liveMessages.get(request) ?? this.messagesOf(direction, request));
      this.liveMessages.delete(request);
    }
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
      ...labelsOf(this.own, direction, cluster, { principal, workload }, downstream.secure),
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
    const peer = peerOf(direction, request);
    const flags =
      request.flags.length === 0 ? '-' : request.flags.length === 1 ? request.flags[0]! : request.flags.join(',');
    // The cluster object is the key: when config replaces it, its labels are rebuilt.
    const byHost = nested(this.requests[direction], request.cluster);
    const byPeer = nested(byHost, request.upstreamHost ?? '');
    const byFlags = nested(byPeer, peer);
    const byCode = nested(byFlags, flags);
    const status = attributes['response.grpc_status'](request);
    // One number for HTTP status, gRPC status and security; 0 for a request that is not gRPC.
    const codes = request.responseCode + 1000 * (status === undefined ? 0 : knownStatus(status) + 2);
    const code = request.downstream.secure ? codes : -1 - codes;
    const known = byCode.get(code);
    if (known) return known;
    const made = this.make(direction, request, peer, flags);
    byCode.set(code, made);
    this.cached++;
    return made;
  }

  private make(direction: Direction, request: RequestContext, peer: Peer | string, flags: string): RequestSeries {
    const status = attributes['response.grpc_status'](request);
    const labels = {
      ...labelsOf(
        this.own,
        direction,
        request.cluster,
        identified(direction, request, peer),
        request.downstream.secure,
      ),
      request_protocol: status === undefined ? 'http' : 'grpc',
      grpc_response_status: status === undefined ? '' : String(knownStatus(status)),
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

  private forget(): void {
    this.requests.inbound.clear();
    this.requests.outbound.clear();
    this.messageSeries.inbound.clear();
    this.messageSeries.outbound.clear();
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

function countMessages({ grpcMessages }: RequestContext, live: LiveMessages): void {
  const { request = 0, response = 0 } = grpcMessages ?? {};
  live.series.requests.value += request - live.requests;
  live.series.responses.value += response - live.responses;
  live.requests = request;
  live.responses = response;
}

/** A status that gRPC does not define would make a series of its own. */
function knownStatus(status: number): number {
  return status > LAST_GRPC_STATUS ? INVALID_STATUS : status;
}

function nested<K, L, V>(map: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let inner = map.get(key);
  if (!inner) map.set(key, (inner = new Map()));
  return inner;
}
