/** What the overload manager has switched on. Read per connection and per request, so plain fields. */
export class OverloadState {
  /** envoy.overload_actions.stop_accepting_requests: new requests are answered 503. */
  stopAcceptingRequests = false;
  /** envoy.overload_actions.disable_http_keepalive: every answer ends its connection. */
  disableKeepAlive = false;
  /** envoy.overload_actions.stop_accepting_connections and reject_incoming_connections. */
  rejectConnections = false;
}
