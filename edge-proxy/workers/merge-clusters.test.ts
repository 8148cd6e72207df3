import { expect, it } from 'vitest';
import { type ClusterState, clustersText, type HostState } from '../admin/clusters.ts';
import { mergeClusters } from './merge-clusters.ts';

const limits = { maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4 } as ClusterState['limits'];
const host = (id: string, rqTotal: number, failedOutlierCheck = false): HostState => ({
  id,
  address: id,
  port: 80,
  hostname: '',
  weight: 5,
  priority: 0,
  locality: 'r/z',
  active: 1,
  stats: { cxActive: 1, cxTotal: 2, cxConnectFail: 3, rqTotal, rqSuccess: 4, rqError: 5, rqTimeout: 6 },
  health: { eds: 'HEALTHY', failedActiveCheck: false, failedOutlierCheck },
});

it('adds up counts, keeps what is configured, and an ejection by one worker counts', () => {
  const merged = mergeClusters([
    [{ name: 'a', limits, hosts: [host('1', 10)] }],
    [
      { name: 'a', limits, hosts: [host('1', 7, true), host('2', 1)] },
      { name: 'b', limits, hosts: [] },
    ],
  ]);
  expect(merged.map(({ name, hosts }) => [name, hosts.map(({ id }) => id)])).toEqual([
    ['a', ['1', '2']],
    ['b', []],
  ]);
  const text = clustersText(merged);
  for (const line of [
    'a::default_priority::max_requests::3',
    'a::1::rq_total::17',
    'a::1::rq_active::2',
    'a::1::cx_connect_fail::6',
    'a::1::weight::5',
    'a::1::health_flags::/failed_outlier_check',
    'a::2::rq_total::1',
    'a::2::health_flags::healthy',
  ])
    expect(text).toContain(`${line}\n`);
});

it('no answers: no clusters', () => expect(mergeClusters([])).toEqual([]));
