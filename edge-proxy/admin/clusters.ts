/** The admin's `/clusters`, as Envoy prints it (envoyproxy.io: "Administration interface", GET /clusters). */
import type { Circuit, Cluster, Endpoint, EndpointHealth, EndpointStats } from '../upstream/cluster.ts';

const noStats: EndpointStats = {
  cxActive: 0,
  cxTotal: 0,
  cxConnectFail: 0,
  rqTotal: 0,
  rqSuccess: 0,
  rqError: 0,
  rqTimeout: 0,
};

/** A cluster as `/clusters` tells of it: plain data, which worker processes can send. */
export interface ClusterState {
  readonly name: string;
  readonly limits: Circuit['limits'];
  /** Of routing priority HIGH. */
  readonly highLimits?: Circuit['limits'];
  readonly hosts: readonly HostState[];
}

export interface HostState extends Pick<Endpoint, 'id' | 'address' | 'port' | 'hostname' | 'weight' | 'priority'> {
  readonly locality: string;
  /** Requests under way. */
  readonly active: number;
  readonly stats: Readonly<EndpointStats>;
  readonly health?: EndpointHealth;
}

export function clusterStates(clusters: Iterable<Cluster>): ClusterState[] {
  return Array.from(clusters, (cluster) => ({
    name: cluster.name,
    limits: cluster.limits,
    ...(cluster.high && { highLimits: cluster.high.limits }),
    hosts: cluster.endpoints().map((endpoint) => hostState(cluster, endpoint)),
  }));
}

function hostState(cluster: Cluster, endpoint: Endpoint): HostState {
  const { id, address, port, hostname, weight, priority, locality, active } = endpoint;
  const health = cluster.health?.(endpoint);
  const stats = { ...(endpoint.stats ?? noStats) };
  return { id, address, port, hostname, weight, priority, locality, active, stats, ...(health && { health }) };
}

export function clustersText(clusters: readonly ClusterState[]): string {
  const lines: string[] = [];
  for (const cluster of clusters) {
    const { name } = cluster;
    lines.push(`${name}::observability_name::${name}`);
    lines.push(...thresholdLines(name, 'default', cluster.limits));
    if (cluster.highLimits) lines.push(...thresholdLines(name, 'high', cluster.highLimits));
    for (const host of cluster.hosts) lines.push(...hostLines(name, host));
  }
  return lines.map((line) => `${line}\n`).join('');
}

function thresholdLines(name: string, priority: string, limits: Circuit['limits']): string[] {
  return [
    `${name}::${priority}_priority::max_connections::${limits.maxConnections}`,
    `${name}::${priority}_priority::max_pending_requests::${limits.maxPendingRequests}`,
    `${name}::${priority}_priority::max_requests::${limits.maxRequests}`,
    `${name}::${priority}_priority::max_retries::${limits.maxRetries}`,
  ];
}

function hostLines(cluster: string, endpoint: HostState): string[] {
  const { stats } = endpoint;
  const [region = '', zone = '', subZone = ''] = endpoint.locality.split('/');
  const values: [string, string | number][] = [
    ['cx_active', stats.cxActive],
    ['cx_connect_fail', stats.cxConnectFail],
    ['cx_total', stats.cxTotal],
    ['rq_active', endpoint.active],
    ['rq_error', stats.rqError],
    ['rq_success', stats.rqSuccess],
    ['rq_timeout', stats.rqTimeout],
    ['rq_total', stats.rqTotal],
    ['hostname', endpoint.hostname],
    ['health_flags', healthFlags(endpoint.health)],
    ['weight', endpoint.weight],
    ['region', region],
    ['zone', zone],
    ['sub_zone', subZone],
    ['canary', 'false'],
    ['priority', endpoint.priority],
  ];
  return values.map(([key, value]) => `${cluster}::${endpoint.id}::${key}::${value}`);
}

function healthFlags(health: EndpointHealth | undefined): string {
  if (!health) return 'healthy';
  const flags = [
    health.failedActiveCheck ? '/failed_active_hc' : '',
    health.failedOutlierCheck ? '/failed_outlier_check' : '',
    health.eds === 'UNHEALTHY' || health.eds === 'DRAINING' || health.eds === 'TIMEOUT' ? '/failed_eds_health' : '',
    health.degradedActiveCheck ? '/degraded_active_hc' : '',
    health.eds === 'DEGRADED' ? '/degraded_eds_health' : '',
    health.activeCheckTimedOut ? '/active_hc_timeout' : '',
  ].join('');
  return flags === '' ? 'healthy' : flags;
}

/** envoy.admin.v3.Clusters, with Envoy's spelling of the fields. */
export function clustersJson(clusters: readonly ClusterState[]): object {
  return {
    cluster_statuses: clusters.map((cluster) => ({
      name: cluster.name,
      observability_name: cluster.name,
      host_statuses: cluster.hosts.map(hostStatus),
      circuit_breakers: {
        thresholds: [
          threshold(cluster.limits),
          ...(cluster.highLimits ? [{ priority: 'HIGH', ...threshold(cluster.highLimits) }] : []),
        ],
      },
    })),
  };
}

function threshold(limits: Circuit['limits']): object {
  return {
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
  };
}

function hostStatus(endpoint: HostState): object {
  const { stats, health } = endpoint;
  const [region = '', zone = '', subZone = ''] = endpoint.locality.split('/');
  const counters = {
    cx_connect_fail: stats.cxConnectFail,
    cx_total: stats.cxTotal,
    rq_error: stats.rqError,
    rq_success: stats.rqSuccess,
    rq_timeout: stats.rqTimeout,
    rq_total: stats.rqTotal,
  };
  const gauges = { cx_active: stats.cxActive, rq_active: endpoint.active };
  const eds = health?.eds === undefined || health.eds === 'UNKNOWN' ? 'HEALTHY' : health.eds;
  return {
    address: { socket_address: { address: endpoint.address, port_value: endpoint.port } },
    // 64-bit numbers are strings in proto3 JSON.
    stats: [
      ...Object.entries(counters).map(([name, value]) => ({ value: String(value), name })),
      ...Object.entries(gauges).map(([name, value]) => ({ type: 'GAUGE', value: String(value), name })),
    ],
    health_status: {
      ...(health?.failedActiveCheck && { failed_active_health_check: true }),
      ...(health?.failedOutlierCheck && { failed_outlier_check: true }),
      ...(health?.degradedActiveCheck && { failed_active_degraded_check: true }),
      ...(health?.activeCheckTimedOut && { active_hc_timeout: true }),
      eds_health_status: eds,
    },
    weight: endpoint.weight,
    ...(endpoint.hostname !== '' && { hostname: endpoint.hostname }),
    ...(endpoint.priority > 0 && { priority: endpoint.priority }),
    locality: { ...(region && { region }), ...(zone && { zone }), ...(subZone && { sub_zone: subZone }) },
  };
}
