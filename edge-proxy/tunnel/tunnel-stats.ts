/** What gateways and workloads count of tunnels: `tunnel.gateway.…`, `tunnel.workload.…`. */

export interface Count {
  value: number;
}

interface StatScope {
  counter(name: string): Count;
  gauge(name: string): Count;
}

export interface TunnelCounts {
  /** Tunnels that are open, and that were opened. */
  readonly active: Count;
  readonly total: Count;
  /** Tunnels that the limits, or their identity, did not admit. */
  readonly refused: Count;
  /** Connections opened by tunnels, and those that found none. */
  readonly streams: Count;
  readonly noTunnel: Count;
}

export function gatewayCounts(scope: StatScope): TunnelCounts {
  return {
    active: scope.gauge('active'),
    total: scope.counter('total'),
    refused: scope.counter('refused'),
    streams: scope.counter('connections_total'),
    noTunnel: scope.counter('no_tunnel'),
  };
}

export interface DialCounts {
  /** Tunnels that gateways serve now. */
  readonly active: Count;
  readonly total: Count;
  /** Dials that failed, tunnels that ended unasked included. */
  readonly failed: Count;
  /** Connections that came by tunnels. */
  readonly connections: Count;
}

export function workloadCounts(scope: StatScope): DialCounts {
  return {
    active: scope.gauge('active'),
    total: scope.counter('total'),
    failed: scope.counter('failed'),
    connections: scope.counter('connections_total'),
  };
}
