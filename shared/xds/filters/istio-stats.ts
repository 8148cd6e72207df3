/**
 * stats.PluginConfig of Istio's istio.stats filter (istio.io/proxy, source/extensions/filters/http/istio_stats/config.proto).
 * Of connections that are not HTTP it is in the metadata of the listener, for a network filter that an Envoy does not know
 * cannot be optional.
 */
import type { z } from 'zod';
import { bool, duration, list, map, message, messageRequiring, nonEmpty, string } from '../message.ts';

export const STATS_TYPE = 'stats.PluginConfig';
/** The name of the filter, and of its configuration in the metadata of a listener. */
export const STATS_FILTER = 'istio.stats';

export const StatsConfig = message({
  /** What is not known of a service is not looked up by the Host header here in any case. */
  disableHostHeaderFallback: bool(),
  /** Counters of open connections are brought up to date whenever they are read. */
  tcpReportingDuration: duration(),
  metrics: list(
    messageRequiring(
      {
        /** Without `istio_`. */
        name: nonEmpty(),
        /** Tags by name, with a CEL expression for the value. */
        dimensions: map(string()),
        tagsToRemove: list(nonEmpty()),
        drop: bool(),
      },
      ['name'],
    ),
  ),
});
export type StatsConfig = z.infer<typeof StatsConfig>;
