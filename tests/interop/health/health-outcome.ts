/** What health checks of a cluster with one host come to, as the admin of Envoy and of Tulle tell it. */

import type { RunningProxy } from '../../kit/proxy.ts';
import { until } from '../../kit/waiting.ts';

const read = async ({ adminPort }: RunningProxy, path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text();

export interface CheckCounts {
  readonly success: number;
  readonly failure: number;
  readonly network: number;
  readonly healthy: number;
  readonly degraded: number;
}

export async function checkCounts(proxy: RunningProxy, cluster: string): Promise<CheckCounts> {
  const text = await read(proxy, `/stats?filter=^cluster\\.${cluster}\\.health_check\\.`);
  const value = (name: string) => Number(new RegExp(`\\.${name}: (\\d+)$`, 'm').exec(text)?.[1]);
  return {
    success: value('success'),
    failure: value('failure'),
    network: value('network_failure'),
    healthy: value('healthy'),
    degraded: value('degraded'),
  };
}

const results = (proxy: RunningProxy, cluster: string, least: number) =>
  until(`${proxy.name} has ${least} results of ${cluster}`, async () => {
    const now = await checkCounts(proxy, cluster);
    return now.success + now.failure >= least && now;
  });

/** What the results are from now on, and the host's health after some of them. */
export async function checkOutcome(proxy: RunningProxy, cluster: string) {
  const { success, failure } = await checkCounts(proxy, cluster);
  // One may have been under way.
  const before = await results(proxy, cluster, success + failure + 2);
  const after = await results(proxy, cluster, before.success + before.failure + 3);
  const all = (count: number) => (count === 0 ? 'none' : count === after.failure - before.failure ? 'all' : 'some');
  const flags = new RegExp(`^${cluster}::.*::health_flags::(.*)$`, 'm').exec(await read(proxy, '/clusters'))?.[1];
  return {
    succeeds: after.success > before.success,
    fails: after.failure > before.failure,
    network: all(after.network - before.network),
    healthy: after.healthy,
    degraded: after.degraded,
    flags,
  };
}

/** Often, whether or not there is traffic. */
export const checkRules = (more: object) => ({
  health_checks: [
    {
      timeout: '20s',
      interval: '0.05s',
      no_traffic_interval: '0.05s',
      // What counts at once, and what against the threshold, is distinguished by it.
      unhealthy_threshold: 1_000_000,
      healthy_threshold: 1,
      ...more,
    },
  ],
});
