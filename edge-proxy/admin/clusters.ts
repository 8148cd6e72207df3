/** The admin's `/clusters`, as Envoy prints it (envoyproxy.io: "Administration interface", GET /clusters). */
import type { Circuit, Cluster, Endpoint, EndpointStats } from '../upstream/cluster.ts';

const noStats: EndpointStats = {
  cxActive: 0,
  cxTotal: 0,
  cxConnectFail: 0,
  rqTotal: 0,
  rqSuccess: 0,
  rqError: 0,
  rqTimeout: 0,
};

export function clustersText(clusters: Iterable<Cluster>): string {
  const lines: string[] = [];
  for (const cluster of clusters) {
    const { name } = cluster;
    lines.push(`${name}::observability_name::${name}`);
    lines.push(...thresholdLines(name, 'default', cluster));
    if (cluster.high) lines.push(...thresholdLines(name, 'high', cluster.high));
    for (const endpoint of cluster.endpoints()) lines.push(...endpointLines(cluster, endpoint));
  }
  return lines.map((line) => `${line}\n`).join('');
}

function thresholdLines(name: string, priority: string, { limits }: Circuit): string[] {
  return [
    `${name}::${priority}_priority::max_connections::${limits.maxConnections}`,
    `${name}::${priority}_priority::max_pending_requests::${limits.maxPendingRequests}`,
    `${name}::${priority}_priority::max_requests::${limits.maxRequests}`,
    `${name}::${priority}_priority::max_retries::${limits.maxRetries}`,
  ];
}

function endpointLines(cluster: Cluster, endpoint: Endpoint): string[] {
  const stats = endpoint.stats ?? noStats;
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
    ['health_flags', healthFlags(cluster, endpoint)],
    ['weight', endpoint.weight],
    ['region', region],
    ['zone', zone],
    ['sub_zone', subZone],
    ['canary', 'false'],
    ['priority', endpoint.priority],
  ];
  return values.map(([key, value]) => `${cluster.name}::${endpoint.id}::${key}::${value}`);
}

function healthFlags(cluster: Cluster, endpoint: Endpoint): string {
  const health = cluster.health?.(endpoint);
  if (!health) return 'healthy';
  const flags = [
    health.failedActiveCheck ? '/failed_active_hc' : '',
    health.failedOutlierCheck ? '/failed_outlier_check' : '',
    health.eds === 'UNHEALTHY' || health.eds === 'DRAINING' || health.eds === 'TIMEOUT' ? '/failed_eds_health' : '',
    health.eds === 'DEGRADED' ? '/degraded_eds_health' : '',
  ].join('');
  return flags === '' ? 'healthy' : flags;
}

/** envoy.admin.v3.Clusters, with Envoy's spelling of the fields. */
export function clustersJson(clusters: Iterable<Cluster>): object {
  return {
    cluster_statuses: [...clusters].map((cluster) => ({
      name: cluster.name,
      observability_name: cluster.name,
      host_statuses: cluster.endpoints().map((endpoint) => hostStatus(cluster, endpoint)),
      circuit_breakers: {
        thresholds: [threshold(cluster), ...(cluster.high ? [{ priority: 'HIGH', ...threshold(cluster.high) }] : [])],
      },
    })),
  };
}

function threshold({ limits }: Circuit): object {
  return {
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
  };
}

function hostStatus(cluster: Cluster, endpoint: Endpoint): object {
  const stats = endpoint.stats ?? noStats;
  const health = cluster.health?.(endpoint);
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
      eds_health_status: eds,
    },
    weight: endpoint.weight,
    ...(endpoint.hostname !== '' && { hostname: endpoint.hostname }),
    ...(endpoint.priority > 0 && { priority: endpoint.priority }),
    locality: { ...(region && { region }), ...(zone && { zone }), ...(subZone && { sub_zone: subZone }) },
  };
}
