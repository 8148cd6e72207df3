import { expect, it } from 'vitest';
import { sumExpositions, sumStats } from './sum-metrics.ts';

it('adds up samples of one name and label set, whatever is in their labels', () => {
  const one =
    '# HELP a Help.\n# TYPE a counter\na{x="p q",y="}"} 3\na{x="r"} 1\n# TYPE tulle_build_info gauge\ntulle_build_info{v="1"} 1\n';
  const two =
    '# HELP a Help.\n# TYPE a counter\na{x="p q",y="}"} 4.5\n# TYPE b gauge\nb 2\n# TYPE tulle_build_info gauge\ntulle_build_info{v="1"} 1\n';
  expect(sumExpositions([one, two])).toBe(
    '# HELP a Help.\n# TYPE a counter\na{x="p q",y="}"} 7.5\na{x="r"} 1\n# TYPE tulle_build_info gauge\ntulle_build_info{v="1"} 1\n# TYPE b gauge\nb 2\n',
  );
  expect(
    sumStats([
      [['b', 1]],
      [
        ['a', 2],
        ['b', 3],
      ],
    ]),
  ).toEqual([
    ['a', 2],
    ['b', 4],
  ]);
});

it('takes the largest of what each worker says of the whole', () => {
  const text = (endpoints: number, open: number, active: number) =>
    `istio_build{component="proxy",tag="1"} 1\nenvoy_server_uptime 7\n` +
    `envoy_cluster_membership_total{cluster_name="c"} ${endpoints}\n` +
    `envoy_cluster_circuit_breakers_cx_open{cluster_name="c",priority="default"} ${open}\n` +
    `envoy_cluster_upstream_cx_active{cluster_name="c"} ${active}\n`;
  expect(sumExpositions([text(3, 1, 4), text(3, 0, 5)])).toBe(text(3, 1, 9));
  const checks = (attempt: number, healthy: number): [string, number][] => [
    ['cluster.c.health_check.attempt', attempt],
    ['cluster.c.health_check.healthy', healthy],
  ];
  expect(sumStats([checks(4, 2), checks(5, 3)])).toEqual(checks(9, 3));
});
