/** What the overload manager has switched on. Read per connection and per request, so plain fields. */
import type { Stat } from '../telemetry/stats.ts';
import type { ScaledTimers } from './scaled-timers.ts';

/** A point at which some of the load is refused (envoy.config.overload.v3.LoadShedPoint). */
export class LoadShedPoint {
  /** Of what comes by, 0 to 1. */
  share = 0;
  /** Envoy's shed_load_count, where the point is configured. */
  shed: Stat | undefined;

  /** Whether this one is refused. */
  sheds(): boolean {
    if (this.share === 0 || Math.random() >= this.share) return false;
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
  readonly accept = new LoadShedPoint();
  /** envoy.load_shed_points.hcm_ondata_creating_codec: connections closed at their first byte. */
  readonly firstBytes = new LoadShedPoint();
  /** envoy.load_shed_points.http_connection_manager_decode_headers: requests answered 503. */
  readonly decodeHeaders = new LoadShedPoint();
  /** envoy.overload_actions.reduce_timeouts, where it is configured. */
  timers: ScaledTimers | undefined;

  refusesConnection(): boolean {
    return this.accept.sheds() || happens(this.rejectConnections);
  }

  refusesRequest(): boolean {
    return this.decodeHeaders.sheds() || happens(this.stopAcceptingRequests);
  }

  endsConnection(): boolean {
    return happens(this.disableKeepAlive);
  }
}

const happens = (share: number) => share > 0 && Math.random() < share;
