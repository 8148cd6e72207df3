import { expect, it } from 'vitest';
import type { Cluster, HealthCheckStats } from '../upstream/cluster.ts';
import { tellHealthChecks } from './health-check-stats.ts';
import { Stats } from './stats.ts';

it('tells of clusters that are checked, as long as they are there', () => {
  const found: HealthCheckStats = { attempt: 5, success: 3, failure: 2, networkFailure: 1, healthy: 4, degraded: 1 };
  let clusters: Pick<Cluster, 'name' | 'healthChecks'>[] = [
    { name: 'a:b', healthChecks: () => found },
    { name: 'unchecked', healthChecks: () => undefined },
    { name: 'other' },
  ];
  const stats = new Stats();
  tellHealthChecks(stats, () => clusters as Cluster[]);
  expect(stats.entries()).toEqual([
    ['cluster.a_b.health_check.attempt', 5],
    ['cluster.a_b.health_check.degraded', 1],
    ['cluster.a_b.health_check.failure', 2],
    ['cluster.a_b.health_check.healthy', 4],
    ['cluster.a_b.health_check.network_failure', 1],
    ['cluster.a_b.health_check.success', 3],
  ]);
  expect(stats.expose()).toContain('# TYPE envoy_cluster_health_check_success counter\n');
  expect(stats.expose()).toContain('envoy_cluster_health_check_healthy{cluster_name="a:b"} 4\n');
  clusters = [];
  expect(stats.entries()).toEqual([]);
});
