import { expect, it } from 'vitest';
import { Stats } from '../../telemetry/stats.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RouteEntry } from '../routing/route-table.ts';
import { RouteStats } from './route-stats.ts';

const route = { name: 'r', virtualHost: 'web.shop:80' } as RouteEntry;
const finished = (responseCode: number, attempts: number, flags: readonly string[] = []) =>
  ({ responseCode, attempts, flags }) as unknown as RequestContext;

it('requests of a route with a stat prefix are counted by Envoy’s names', () => {
  const stats = new Stats();
  const counts = new RouteStats(stats);
  counts.count(finished(200, 1), route, 'cart');
  counts.count(finished(503, 3), route, 'cart');
  counts.count(finished(504, 1, ['UT']), route, 'cart');
  // A fault, a refusal: no endpoint was asked.
  counts.count(finished(429, 0), route, 'cart');
  expect(Object.fromEntries(stats.entries().filter(([, value]) => value > 0))).toEqual({
    'vhost.web.shop_80.route.cart.upstream_rq_total': 5,
    'vhost.web.shop_80.route.cart.upstream_rq_retry': 2,
    'vhost.web.shop_80.route.cart.upstream_rq_timeout': 1,
    'vhost.web.shop_80.route.cart.upstream_rq_completed': 3,
    'vhost.web.shop_80.route.cart.upstream_rq_2xx': 1,
    'vhost.web.shop_80.route.cart.upstream_rq_5xx': 2,
    'vhost.web.shop_80.route.cart.upstream_rq_200': 1,
    'vhost.web.shop_80.route.cart.upstream_rq_503': 1,
    'vhost.web.shop_80.route.cart.upstream_rq_504': 1,
  });
  expect(stats.expose()).toContain(
    'envoy_vhost_route_upstream_rq_total{envoy_virtual_host="web.shop:80",envoy_route="cart"} 5\n',
  );
});
