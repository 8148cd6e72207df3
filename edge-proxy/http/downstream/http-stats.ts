/** Envoy's statistics of one HTTP connection manager (`http.<stat prefix>.…`), those that have a cause in this proxy. */
import type { Stat, StatScope, Stats } from '../../telemetry/stats.ts';
import { HTTP2_COUNTERS, type Http2CounterName, type Http2Counters } from '../codec/h2/counters.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RequestObserver } from '../request/request-observer.ts';
import { RouteStats } from './route-stats.ts';

/** Response code details -> counter. The last four names are Tulle's: Envoy counts them nowhere. */
const BY_DETAILS: Readonly<Record<string, string>> = {
  overload: 'downstream_rq_overload_close',
  request_header_timeout: 'downstream_rq_header_timeout',
  request_overall_timeout: 'downstream_rq_timeout',
  stream_idle_timeout: 'downstream_rq_idle_timeout',
  request_payload_too_large: 'downstream_rq_too_large',
  uri_too_long: 'downstream_rq_uri_too_long',
  'http1.headers_too_large': 'downstream_rq_headers_too_large',
  'http1.too_many_headers': 'downstream_rq_too_many_headers',
  low_version: 'downstream_rq_low_version',
};

export class HttpStats implements RequestObserver {
  /** Connections closed because nothing was asked on them. */
  readonly idleTimeout: Stat;
  readonly maxDuration: Stat;
  readonly overloadNoKeepAlive: Stat;
  /** Of all HTTP/2 connections of clients: `http2.…`, as in Envoy. */
  readonly http2: Http2Counters;
  private readonly total: Stat;
  private readonly protocolErrors: Stat;
  private readonly byClass: readonly Stat[];
  private readonly byDetails: ReadonlyMap<string, Stat>;
  private readonly routes: RouteStats;

  constructor(stats: Stats, prefix: string) {
    const scope: StatScope = stats.scope('http', prefix);
    this.routes = new RouteStats(stats);
    this.total = scope.counter('downstream_rq_total');
    this.protocolErrors = scope.counter('downstream_cx_protocol_error');
    this.idleTimeout = scope.counter('downstream_cx_idle_timeout');
    this.maxDuration = scope.counter('downstream_cx_max_duration_reached');
    this.overloadNoKeepAlive = scope.counter('downstream_cx_overload_disable_keepalive');
    const http2 = stats.scope('http2');
    this.http2 = Object.fromEntries(HTTP2_COUNTERS.map((name) => [name, http2.counter(name)])) as Record<
      Http2CounterName,
      Stat
    >;
    this.byClass = [0, 1, 2, 3, 4, 5].map((hundred) => scope.counter(`downstream_rq_${hundred}xx`));
    this.byDetails = new Map(Object.entries(BY_DETAILS).map(([details, name]) => [details, scope.counter(name)]));
  }

  /** Called once for every request. */
  finished(request: RequestContext): void {
    this.total.value++;
    const found = this.byClass[(request.responseCode / 100) | 0];
    if (found) found.value++;
    const { route } = request;
    if (route?.statPrefix !== undefined) this.routes.count(request, route, route.statPrefix);
    // An answer that had begun well may still have come to a bad end, which its flags tell.
    if ((request.responseCode < 400 && request.flags.length === 0) || request.details === 'via_upstream') return;
    const cause = this.byDetails.get(request.details);
    if (cause) cause.value++;
    if (request.flags.includes('DPE')) this.protocolErrors.value++;
  }
}
