/** Envoy's `cluster.<name>.health_check.…` (envoyproxy.io: "Cluster manager stats", health check statistics). */
import type { Cluster, HealthCheckStats } from '../upstream/cluster.ts';
import type { Stats } from './stats.ts';

const COUNTERS: readonly (readonly [name: string, of: keyof HealthCheckStats])[] = [
  ['attempt', 'attempt'],
  ['success', 'success'],
  ['failure', 'failure'],
  ['network_failure', 'networkFailure'],
];
const GAUGES = ['healthy', 'degraded'] as const;
const NAMES = [...COUNTERS.map(([name]) => name), ...GAUGES].map((name) => `health_check.${name}`);

/** Before each reading; a removed or no longer checked cluster reports nothing. */
export function tellHealthChecks(stats: Stats, clusters: () => Iterable<Cluster>): void {
  let reported = new Set<string>();
  stats.onCollect(() => {
    const checked = new Set<string>();
    for (const cluster of clusters()) {
      const found = cluster.healthChecks?.();
      if (!found) continue;
      checked.add(cluster.name);
      const scope = stats.scope('cluster', cluster.name);
      for (const [name, of] of COUNTERS) scope.counter(`health_check.${name}`).value = found[of];
      for (const name of GAUGES) scope.gauge(`health_check.${name}`).value = found[name];
    }
    for (const name of reported) if (!checked.has(name)) stats.forget('cluster', name, NAMES);
    reported = checked;
  });
}
