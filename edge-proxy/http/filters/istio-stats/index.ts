/**
 * istio.stats: stats.PluginConfig. Nothing happens per request here: what it says, the metrics' observer of the connection manager
 * does (edge-proxy/telemetry/metric-rules.ts).
 */
import { STATS_TYPE, StatsConfig } from '../../../../shared/xds/filters/istio-stats.ts';
import { defineFilter } from '../definition.ts';

export const istioStats = defineFilter({ type: STATS_TYPE, schema: StatsConfig, create: () => undefined });
