/** What the overload manager has switched on. Read per connection and per request, so plain fields. */
import type { Stat } from '../telemetry/stats.ts';
import type { ScaledTimers } from './scaled-timers.ts';

/** A point at which some of the load is refused (envoy.config.overload.v3.LoadShedPoint). */
export class LoadShedPoint {
  /** Of what comes by, 0 to 1. */
  share = 0;
  /** Envoy's shed_load_count, where the point is configured. */
  shed: Stat | undefined;
  private readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  /** Whether this one is refused. */
  sheds(): boolean {
    if (this.share === 0 || this.random() >= this.share) return false;
    if (this.shed) this.shed.value++;
    return true;
  }
}

export class OverloadState {
  /** envoy.overload_actions.stop_accepting_requests: the share of new requests that are answered 503, 0 to 1. */
  stopAcceptingRequests = 0;
  /** envoy.overload_actions.disable_http_keepalive: the share of answers that end their connection. */
  disableKeepAlive = 0;
  /** envoy.overload_actions.reject_incoming_connections and stop_accepting_connections: the share that is closed. */
  rejectConnections = 0;
  /** envoy.load_shed_points.tcp_listener_accept */
  readonly accept: LoadShedPoint;
  /** envoy.load_shed_points.hcm_ondata_creating_codec: connections closed at their first byte. */
  readonly firstBytes: LoadShedPoint;
  /** envoy.load_shed_points.http_connection_manager_decode_headers: requests answered 503. */
  readonly decodeHeaders: LoadShedPoint;
  /** envoy.overload_actions.reduce_timeouts, where it is configured. */
  timers: ScaledTimers | undefined;
  private readonly random: () => number;

  /** @param random [0, 1): decides which connections and requests a share falls on */
  constructor(random: () => number) {
    this.random = random;
    this.accept = new LoadShedPoint(random);
    this.firstBytes = new LoadShedPoint(random);
    this.decodeHeaders = new LoadShedPoint(random);
  }

  refusesConnection(): boolean {
    return this.accept.sheds() || this.happens(this.rejectConnections);
  }

  refusesRequest(): boolean {
    return this.decodeHeaders.sheds() || this.happens(this.stopAcceptingRequests);
  }

  endsConnection(): boolean {
    return this.happens(this.disableKeepAlive);
  }

  private happens(share: number): boolean {
    return share > 0 && this.random() < share;
  }
}
