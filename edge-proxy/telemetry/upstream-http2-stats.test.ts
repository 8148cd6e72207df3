import { expect, it } from 'vitest';
import { UpstreamHttp2Stats } from '../http/codec/h2/upstream-stats.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { Stats } from './stats.ts';
import { reportUpstreamHttp2 } from './upstream-http2-stats.ts';

it('reports clusters that have had HTTP/2 connections, each its own, as long as they are there', () => {
  const [first, second, unused] = [new UpstreamHttp2Stats(), new UpstreamHttp2Stats(), new UpstreamHttp2Stats()];
  let clusters: Pick<Cluster, 'name' | 'http2'>[] = [
    { name: 'a:b', http2: first },
    { name: 'c', http2: second },
    { name: 'http1', http2: unused },
    { name: 'other' },
  ];
  first.counters.rx_reset.value = 2;
  second.counters.tx_reset.value = 3;
  first.onOpen({ streams: 4, pendingSendBytes: 5 });
  const stats = new Stats();
  reportUpstreamHttp2(stats, () => clusters as Cluster[]);
  const entries = Object.fromEntries(stats.entries());
  expect(Object.fromEntries(Object.entries(entries).filter(([, value]) => value > 0))).toEqual({
    'cluster.a_b.http2.pending_send_bytes': 5,
    'cluster.a_b.http2.rx_reset': 2,
    'cluster.a_b.http2.streams_active': 4,
    'cluster.c.http2.tx_reset': 3,
  });
  expect(entries).not.toHaveProperty('cluster.http1.http2.rx_reset');
  expect(stats.expose()).toContain('# TYPE envoy_cluster_http2_streams_active gauge\n');
  expect(stats.expose()).toContain('envoy_cluster_http2_rx_reset{cluster_name="a:b"} 2\n');
  clusters = [];
  expect(stats.entries()).toEqual([]);
});
