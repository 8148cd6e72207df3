/**
 * Istio's standard metrics (istio.io/docs/reference/config/metrics), from every finished request and TCP connection.
 * What a request's labels depend on is few (cluster, endpoint, peer, protocol, code, flags), so the series are found
 * once per combination and a request costs a walk through nested maps and five additions.
 */

import type { Counter, Histogram, Labels, MetricFamily, Metrics } from '../../shared/metrics/metrics.ts';
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
  destinationOf,
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

import {
  MESSAGE_METRICS,
  type MetricName,
  MetricRules,
  NO_TAGS,
  REQUEST_METRICS,
  type Tags,
  TCP_METRICS,
} from './metric-rules.ts';

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

/** Connections and gRPC streams under way, which may live for days: what flows is counted whenever metrics are read. */
export class LiveTraffic {
  readonly connections = new Map<ConnectionRecord, Live>();
  readonly messages = new Map<RequestContext, LiveMessages>();

  constructor(metrics: Pick<Metrics, 'onCollect'>) {
    metrics.onCollect(() => {
      for (const [request, live] of this.messages) countMessages(request, live);
      for (const [connection, live] of this.connections) count(connection, live, live.series);
    });
  }
}

const NOT_COUNTED: Counter = { value: 0 };
const NOT_OBSERVED: Histogram = { observe: () => undefined };

/** The metrics of listeners with the same rules. */
export class IstioMetrics {
  private readonly own: OwnIdentity;
  private readonly workloads: WorkloadLookup;
  private readonly http;
  private readonly tcp;
  private readonly rules: MetricRules;
  /** Further labels, where rules have some. */
  private readonly tagsOf;
  private readonly requests: Record<Direction, Cache<RequestSeries>> = { inbound: new Map(), outbound: new Map() };
  /** In their place, where requests have further labels. */
  private readonly tagged: Record<Direction, Cache<Map<string, RequestSeries>>> = {
    inbound: new Map(),
    outbound: new Map(),
  };
  private readonly tcpSeries = new Map<string, TcpSeries>();
  private readonly live: LiveTraffic;
  private readonly messages;
  /** By cluster, endpoint and peer. */
  private readonly messageSeries: Record<Direction, Map<unknown, Map<string, Map<Peer | string, MessageSeries>>>> = {
    inbound: new Map(),
    outbound: new Map(),
  };
  private cached = 0;

  /**
   * @param workloads finds the clients of TCP connections, which send no metadata
   * @param live shared by all metrics of a proxy
   */
  constructor(
    metrics: Metrics,
    own: OwnIdentity,
    workloads: WorkloadLookup,
    rules = new MetricRules(),
    live = new LiveTraffic(metrics),
  ) {
    this.own = own;
    this.workloads = workloads;
    this.rules = rules;
    this.live = live;
    this.tagsOf = {
      requests: rules.tagsOf(REQUEST_METRICS),
      messages: rules.tagsOf(MESSAGE_METRICS),
      connections: rules.tagsOf(TCP_METRICS),
    };
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
  }

  private counter(
    family: MetricFamily<Counter>,
    metric: MetricName,
    labels: Labels,
    names: readonly string[],
  ): Counter {
    return this.rules.drops(metric) ? NOT_COUNTED : family.with(labels, this.rules.labelsOf(metric, names));
  }

  private histogram(family: MetricFamily<Histogram>, metric: MetricName, labels: Labels): Histogram {
    return this.rules.drops(metric) ? NOT_OBSERVED : family.with(labels, this.rules.labelsOf(metric, LABELS));
  }

  /** The response of a request begins: its gRPC messages are counted from now on, where it is gRPC. */
  onResponse(direction: Direction, request: RequestContext): void {
    if (request.grpcMessages !== undefined) this.live.messages.set(request, this.messagesOf(direction, request));
  }

  private messagesOf(direction: Direction, request: RequestContext): LiveMessages {
    const peer = peerOf(direction, request);
    const byHost = nested(this.messageSeries[direction], request.cluster);
    const byPeer = nested(byHost, request.upstreamHost ?? '');
    const tags = this.tagsOf.messages?.(request);
    let series = tags ? undefined : byPeer.get(peer);
    if (!series) {
      const { cluster, downstream } = request;
      const all = labelsOf(this.own, direction, cluster, identified(direction, request, peer), downstream.secure);
      const labels = { ...all, ...tags };
      const { requests, responses } = this.messages;
      series = {
        requests: this.counter(requests, 'request_messages_total', labels, MESSAGE_LABELS),
        responses: this.counter(responses, 'response_messages_total', labels, MESSAGE_LABELS),
      };
      if (!tags) {
        byPeer.set(peer, series);
        this.cached++;
      }
    }
    return { series, requests: 0, responses: 0 };
  }

  /** Takes one finished request. */
  onRequest(direction: Direction, request: RequestContext): void {
    if (request.carriesRequests) return;
    if (request.grpcMessages !== undefined) {
      countMessages(request, this.live.messages.get(request) ?? this.messagesOf(direction, request));
      this.live.messages.delete(request);
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
    this.live.connections.set(connection, { series, received: 0, sent: 0 });
  }

  /** Takes one finished TCP connection; one that never reached an upstream counts as opened and closed. */
  onConnectionClosed(direction: Direction, connection: ConnectionRecord): void {
    const series = this.findTcp(direction, connection);
    const live = this.live.connections.get(connection);
    if (!live) series.opened.value++;
    this.live.connections.delete(connection);
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
      ...this.tagsOf.connections?.(connection),
    };
    const key = Object.values(labels).join('\u0000');
    const known = this.tcpSeries.get(key);
    if (known) return known;
    const { opened, closed, received, sent } = this.tcp;
    const made: TcpSeries = {
      opened: this.counter(opened, 'tcp_connections_opened_total', labels, TCP_LABELS),
      closed: this.counter(closed, 'tcp_connections_closed_total', labels, TCP_LABELS),
      received: this.counter(received, 'tcp_received_bytes_total', labels, TCP_LABELS),
      sent: this.counter(sent, 'tcp_sent_bytes_total', labels, TCP_LABELS),
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
    const status = attributes['response.grpc_status'](request);
    // One number for HTTP status, gRPC status and security; 0 for a request that is not gRPC.
    const codes = request.responseCode + 1000 * (status === undefined ? 0 : knownStatus(status) + 2);
    const code = request.downstream.secure ? codes : -1 - codes;
    if (this.tagsOf.requests)
      return this.findTagged(direction, request, peer, flags, code, this.tagsOf.requests(request));
    const byCode = byCodeOf(this.requests[direction], request, peer, flags);
    const known = byCode.get(code);
    if (known) return known;
    const made = this.make(direction, request, peer, flags, NO_TAGS);
    byCode.set(code, made);
    this.cached++;
    return made;
  }

  private findTagged(
    direction: Direction,
    request: RequestContext,
    peer: Peer | string,
    flags: string,
    code: number,
    tags: Tags,
  ): RequestSeries {
    const byTags = nested(byCodeOf(this.tagged[direction], request, peer, flags), code);
    const key = Object.values(tags).join('\u0000');
    const known = byTags.get(key);
    if (known) return known;
    const made = this.make(direction, request, peer, flags, tags);
    byTags.set(key, made);
    this.cached++;
    return made;
  }

  private make(
    direction: Direction,
    request: RequestContext,
    peer: Peer | string,
    flags: string,
    tags: Tags,
  ): RequestSeries {
    const status = attributes['response.grpc_status'](request);
    const labels = {
      ...labelsOf(
        this.own,
        direction,
        destinationOf(request),
        identified(direction, request, peer),
        request.downstream.secure,
      ),
      request_protocol: status === undefined ? 'http' : 'grpc',
      grpc_response_status: status === undefined ? '' : String(knownStatus(status)),
      response_code: String(request.responseCode),
      response_flags: flags,
      ...tags,
    };
    return {
      total: this.counter(this.http.total, 'requests_total', labels, LABELS),
      duration: this.histogram(this.http.duration, 'request_duration_milliseconds', labels),
      requestBytes: this.histogram(this.http.requestBytes, 'request_bytes', labels),
      responseBytes: this.histogram(this.http.responseBytes, 'response_bytes', labels),
    };
  }

  private forget(): void {
    for (const caches of [this.requests, this.tagged]) {
      caches.inbound.clear();
      caches.outbound.clear();
    }
    this.messageSeries.inbound.clear();
    this.messageSeries.outbound.clear();
    this.cached = 0;
  }
}

/** The cluster object is the key: when config replaces it, its labels are rebuilt. */
function byCodeOf<S>(cache: Cache<S>, request: RequestContext, peer: Peer | string, flags: string): Map<number, S> {
  const byHost = nested(cache, destinationOf(request));
  const byPeer = nested(byHost, request.upstreamHost ?? '');
  return nested(nested(byPeer, peer), flags);
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
