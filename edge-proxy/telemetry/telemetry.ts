/** A proxy's telemetry in one piece: Istio's metrics, its own gauges, and the mesh's default access log. */
import type { RequestContext } from '../http/stream.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { TcpConnection } from '../tcp/tcp-connection.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { istioAccessLog, type LogSinks } from './access-log.ts';
import { type Direction, IstioMetrics, type Workload } from './istio-metrics.ts';
import { Metrics } from './metrics.ts';

export interface Telemetry {
  readonly metrics: Metrics;
  /** For compileAccessLog of listeners that configure a log of their own. */
  readonly sinks: LogSinks;
  onRequest(direction: Direction, request: RequestContext): void;
  onConnectionOpened(direction: Direction, connection: TcpConnection): void;
  onConnectionClosed(direction: Direction, connection: TcpConnection): void;
}

export interface TelemetryOptions {
  readonly runtime: Runtime;
  readonly version: string;
  readonly workload: Workload;
  readonly clusters: () => Iterable<Cluster>;
  /** Istio's JSON access log on standard output for every request. */
  readonly accessLog: boolean;
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { runtime } = options;
  const metrics = new Metrics();
  const istio = new IstioMetrics(metrics, options.workload);
  const sinks: LogSinks = {
    out: (line) => runtime.process.writeOut(line),
    error: (line) => runtime.process.writeError(line),
    wallClock: (monotonicMs) => Date.now() - (runtime.monotonicMs() - monotonicMs),
  };
  const log = options.accessLog ? istioAccessLog(sinks) : undefined;
  processGauges(metrics, options);
  return {
    metrics,
    sinks,
    onRequest(direction, request) {
      const now = runtime.monotonicMs();
      istio.onRequest(direction, request, now);
      log?.(request, now);
    },
    onConnectionOpened: (direction, connection) => istio.onConnectionOpened(direction, connection),
    onConnectionClosed: (direction, connection) => istio.onConnectionClosed(direction, connection),
  };
}

function processGauges(metrics: Metrics, { runtime, version, clusters }: TelemetryOptions): void {
  metrics
    .gauge('tulle_build_info', 'The proxy.', ['version', 'runtime'])
    .with({ version, runtime: runtime.name }).value = 1;
  const resident = metrics.gauge('process_resident_memory_bytes', 'Resident memory.').with({});
  const connections = metrics.gauge('envoy_cluster_upstream_cx_active', 'Open connections.', ['cluster_name']);
  const requests = metrics.gauge('envoy_cluster_upstream_rq_active', 'Requests under way.', ['cluster_name']);
  metrics.onCollect(() => {
    resident.value = runtime.process.residentBytes();
    for (const { name, use } of clusters()) {
      connections.with({ cluster_name: name }).value = use.connections;
      requests.with({ cluster_name: name }).value = use.requests;
    }
  });
}
