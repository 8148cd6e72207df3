/** All that Telemetry and MeshConfig decide about a proxy's logs, metrics and traces, by side: made once for a class of proxies. */
import type { MeshProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-proxy.ts';
import { STATS_FILTER, STATS_TYPE, type StatsConfig } from '../../../shared/xds/filters/istio-stats.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import { specOf } from '../../mesh/fields.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type AccessLog, httpFilter } from '../wire.ts';
import { accessLogsOf, listenerLogsOf } from './access-logs.ts';
import type { Side, Telemetry } from './applicable.ts';
import { statsConfigOf } from './metrics.ts';
import { lookupIn, namesOf } from './providers.ts';
import { type CompiledTracing, type TracedWorkload, tracingOf } from './tracing.ts';

/** Of traffic to the workload, or of traffic from it (and through a gateway). */
export interface SideTelemetry extends CompiledTracing {
  readonly logs: readonly AccessLog[];
  /** Of listeners: connections that no filter chain takes. */
  readonly listenerLogs: readonly AccessLog[];
  /** istio.stats of connection managers; undefined: all metrics as they are. */
  readonly stats: HttpFilter | undefined;
  /** The same for connections, in the metadata of the listener. */
  readonly metadata: Listener['metadata'];
}

export interface ProxyTelemetry extends Readonly<Record<Side, SideTelemetry>> {
  readonly findings: readonly Finding[];
}

export interface ProxyTelemetryInput extends TracedWorkload {
  readonly settings: MeshSettings;
  /** `tracing` of the proxy's ProxyConfig. */
  readonly proxyTracing: MeshProxyConfig['tracing'];
  /** As `applicableTo` orders them. */
  readonly telemetries: readonly Telemetry[];
  /** Those among them that are for traffic to a Service. */
  readonly ofService: readonly Telemetry[];
  /** Where spans go, as `tracerClusters` writes it. */
  readonly clusters: string;
  readonly isGateway: boolean;
}

export const proxyTelemetry = generator<ProxyTelemetryInput, ProxyTelemetry>(
  {
    settings: true,
    clusters: true,
    proxyTracing: true,
    telemetries: true,
    ofService: true,
    isGateway: true,
    canonicalService: true,
    canonicalRevision: true,
    clusterId: true,
    meshId: true,
    namespace: true,
  },
  (input) => {
    const findings: Finding[] = [];
    const note = (finding: Finding) => void findings.push(finding);
    return {
      server: sideOf(input, 'server', note),
      client: sideOf(input, 'client', note),
      findings: distinctFindings(findings),
    };
  },
);

function sideOf(input: ProxyTelemetryInput, side: Side, note: (finding: Finding) => void): SideTelemetry {
  const { settings, ofService, isGateway, clusters, proxyTracing } = input;
  const { config } = settings;
  const telemetries =
    side === 'server' ? input.telemetries : input.telemetries.filter((one) => !ofService.includes(one));
  const logs = accessLogsOf({ settings, telemetries, side, note });
  const stats = statsConfigOf({ config, telemetries, side, note });
  return {
    logs,
    listenerLogs: config.disableEnvoyListenerLog === true ? [] : listenerLogsOf(logs),
    stats: stats && statsFilter(stats),
    metadata: stats && { filterMetadata: { [STATS_FILTER]: { ...stats } } },
    ...tracingOf({
      config,
      proxyTracing,
      telemetries,
      side,
      clusterOf: lookupIn(clusters),
      workload: input,
      isGateway,
      note,
    }),
  };
}

/** Optional, and a Struct: an Envoy without Istio's filters leaves it out. */
function statsFilter(value: StatsConfig): HttpFilter {
  const filter = httpFilter(STATS_FILTER, 'udpa.type.v1.TypedStruct', {
    typeUrl: `type.googleapis.com/${STATS_TYPE}`,
    value,
  });
  return { ...filter, isOptional: true };
}

/** The providers of traces that are named; none: requests are not traced, and workloads need not be distinguished. */
export function namedTracers({ config }: MeshSettings, telemetries: readonly Telemetry[]): readonly string[] {
  const written = telemetries.flatMap((one) =>
    (specOf(one).tracing ?? []).flatMap((entry) => namesOf(entry.providers)),
  );
  return [...(config.defaultProviders?.tracing ?? []), ...written];
}
