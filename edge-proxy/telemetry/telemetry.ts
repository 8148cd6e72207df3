/** A proxy's telemetry in one piece: Istio's metrics, its own gauges, and where access logs are written. */

import { Metrics } from '../../shared/metrics/metrics.ts';
import type { StatsConfig } from '../../shared/xds/filters/istio-stats.ts';
import type { RequestObserver } from '../http/request/request-observer.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { ConnectionObserver } from '../tcp/connection-record.ts';
import { retryLimit } from '../upstream/circuit-breakers.ts';
import type { Circuit, Cluster, EndpointHealth } from '../upstream/cluster.ts';
import type { WorkloadLookup } from '../upstream/workload-metadata.ts';
import { WeakValues } from '../weak-values.ts';
import type { LogSinks } from './access-log.ts';
import { wallClockOf } from './format-operators.ts';
import type { Direction, OwnIdentity } from './istio-labels.ts';
import { IstioMetrics, LiveTraffic } from './istio-metrics.ts';
import { compileMetricRules } from './metric-rules.ts';

export interface Telemetry {
  readonly metrics: Metrics;
  /** For compileAccessLog of listeners that configure a log of their own. */
  readonly sinks: LogSinks;
  /** Istio's metrics of requests. @param config of istio.stats; absent: all of them, as they are */
  requestObserver(direction: Direction, config?: StatsConfig): RequestObserver;
  connectionObserver(direction: Direction, config?: StatsConfig): ConnectionObserver;
}

export interface TelemetryOptions {
  readonly runtime: Runtime;
  readonly version: string;
  readonly own: OwnIdentity;
  /** The workloads behind endpoints, by address. */
  readonly workloads: WorkloadLookup;
  readonly clusters: () => Iterable<Cluster>;
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { runtime } = options;
  const metrics = new Metrics();
  const live = new LiveTraffic(metrics);
  const byRules = new WeakValues<IstioMetrics>();
  const sinks: LogSinks = {
    out: (line) => runtime.process.writeOut(line),
    error: (line) => runtime.process.writeError(line),
    wallClock: wallClockOf(runtime),
  };
  processGauges(metrics, options);
  // Listeners with the same rules share their series.
  const istioOf = (config: StatsConfig = {}) =>
    byRules.get(JSON.stringify(config.metrics ?? []), () => {
      const rules = compileMetricRules(config, sinks.wallClock);
      return new IstioMetrics(metrics, options.own, options.workloads, rules, live);
    });
  return {
    metrics,
    sinks,
    requestObserver: (direction, config) => {
      const istio = istioOf(config);
      return {
        responseStarted: (request) => istio.onResponse(direction, request),
        finished: (request) => istio.onRequest(direction, request),
      };
    },
    connectionObserver: (direction, config) => {
      const istio = istioOf(config);
      return {
        opened: (connection) => istio.onConnectionOpened(direction, connection),
        closed: (connection) => istio.onConnectionClosed(direction, connection),
      };
    },
  };
}

function processGauges(metrics: Metrics, { runtime, version, clusters }: TelemetryOptions): void {
  metrics
    .gauge('tulle_build_info', 'The proxy.', ['version', 'runtime'])
    .with({ version, runtime: runtime.name }).value = 1;
  metrics
    .gauge('istio_build', 'Istio component build info', ['component', 'tag'])
    .with({ component: 'proxy', tag: version }).value = 1;
  const started = runtime.monotonicMs();
  const uptime = metrics.gauge('envoy_server_uptime', 'Seconds since the start.').with({});
  const resident = metrics.gauge('process_resident_memory_bytes', 'Resident memory.').with({});
  const connections = metrics.gauge('envoy_cluster_upstream_cx_active', 'Open connections.', ['cluster_name']);
  const requests = metrics.gauge('envoy_cluster_upstream_rq_active', 'Requests under way.', ['cluster_name']);
  const breakers = circuitGauges(metrics);
  const healthy = metrics.gauge('envoy_cluster_membership_healthy', 'Endpoints that may be used.', ['cluster_name']);
  const total = metrics.gauge('envoy_cluster_membership_total', 'Endpoints.', ['cluster_name']);
  metrics.onCollect(() => {
    resident.value = runtime.process.residentBytes();
    uptime.value = Math.floor((runtime.monotonicMs() - started) / 1000);
    // A removed cluster reports nothing.
    for (const gauge of [connections, requests, healthy, total]) gauge.clear();
    breakers.clear();
    for (const cluster of clusters()) {
      const { name, use, high } = cluster;
      connections.with({ cluster_name: name }).value = use.connections + (high?.use.connections ?? 0);
      requests.with({ cluster_name: name }).value = use.requests + (high?.use.requests ?? 0);
      breakers.set(name, 'default', cluster);
      if (high) breakers.set(name, 'high', high);
      const endpoints = cluster.endpoints();
      total.with({ cluster_name: name }).value = endpoints.length;
      healthy.with({ cluster_name: name }).value = endpoints.filter((one) => isHealthy(cluster.health?.(one))).length;
    }
  });
}

function isHealthy(health: EndpointHealth | undefined): boolean {
  if (!health) return true;
  const up = health.eds === 'UNKNOWN' || health.eds === 'HEALTHY' || health.eds === 'DEGRADED';
  return up && !health.failedActiveCheck && !health.failedOutlierCheck;
}

interface CircuitGauges {
  clear(): void;
  set(cluster: string, priority: string, circuit: Circuit): void;
}

/** Envoy's circuit breaker gauges: open or not; what is left, where the cluster tracks it. */
function circuitGauges(metrics: Metrics): CircuitGauges {
  const gauge = (name: string, help: string) =>
    metrics.gauge(`envoy_cluster_circuit_breakers_${name}`, help, ['cluster_name', 'priority']);
  const kinds = [
    {
      key: 'connections',
      open: gauge('cx_open', 'At the connection limit.'),
      left: gauge('remaining_cx', 'Connections left.'),
    },
    {
      key: 'pending',
      open: gauge('rq_pending_open', 'At the limit of waiting requests.'),
      left: gauge('remaining_pending', 'Places left to wait.'),
    },
    { key: 'requests', open: gauge('rq_open', 'At the request limit.'), left: gauge('remaining_rq', 'Requests left.') },
    {
      key: 'retries',
      open: gauge('rq_retry_open', 'At the retry limit.'),
      left: gauge('remaining_retries', 'Retries left.'),
    },
  ] as const;
  const clear = () => {
    for (const { open, left } of kinds) {
      open.clear();
      left.clear();
    }
  };
  const set: CircuitGauges['set'] = (cluster_name, priority, circuit) => {
    const { limits, use } = circuit;
    const limit = {
      connections: limits.maxConnections,
      pending: limits.maxPendingRequests,
      requests: limits.maxRequests,
      retries: retryLimit(circuit),
    };
    for (const { key, open, left } of kinds) {
      open.with({ cluster_name, priority }).value = use[key] >= limit[key] ? 1 : 0;
      if (limits.trackRemaining) left.with({ cluster_name, priority }).value = Math.max(0, limit[key] - use[key]);
    }
  };
  return { clear, set };
}
