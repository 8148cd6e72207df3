/** Envoy's statistics of routes that have a `stat_prefix`: `vhost.<virtual host>.route.<stat prefix>.…`, without histograms. */
import type { Stat, StatScope, Stats } from '../../telemetry/stats.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RouteEntry } from '../routing/route-table.ts';

/** The counters of one route. */
interface Counters {
  readonly scope: StatScope;
  readonly total: Stat;
  readonly completed: Stat;
  readonly retry: Stat;
  readonly timeout: Stat;
  readonly byClass: readonly Stat[];
  readonly byCode: Map<number, Stat>;
}

export class RouteStats {
  private readonly stats: Stats;
  private readonly known = new WeakMap<RouteEntry, Counters>();

  constructor(stats: Stats) {
    this.stats = stats;
  }

  /** Counts a finished request of a route with a stat prefix; one that no endpoint was asked for counts nowhere, as in Envoy. */
  count(request: RequestContext, route: RouteEntry, statPrefix: string): void {
    if (request.attempts === 0) return;
    const counters = this.countersOf(route, statPrefix);
    counters.total.value += request.attempts;
    counters.retry.value += request.attempts - 1;
    if (request.flags.includes('UT')) counters.timeout.value++;
    const { responseCode } = request;
    const ofClass = counters.byClass[(responseCode / 100) | 0];
    if (!ofClass) return;
    counters.completed.value++;
    ofClass.value++;
    let ofCode = counters.byCode.get(responseCode);
    if (!ofCode) {
      ofCode = counters.scope.counter(`upstream_rq_${responseCode}`);
      counters.byCode.set(responseCode, ofCode);
    }
    ofCode.value++;
  }

  private countersOf(route: RouteEntry, statPrefix: string): Counters {
    let counters = this.known.get(route);
    if (!counters) {
      const scope = this.stats.scope('vhost', `${route.virtualHost}.route.${statPrefix}`);
      counters = {
        scope,
        total: scope.counter('upstream_rq_total'),
        completed: scope.counter('upstream_rq_completed'),
        retry: scope.counter('upstream_rq_retry'),
        timeout: scope.counter('upstream_rq_timeout'),
        byClass: [0, 1, 2, 3, 4, 5].map((hundred) => scope.counter(`upstream_rq_${hundred}xx`)),
        byCode: new Map(),
      };
      this.known.set(route, counters);
    }
    return counters;
  }
}
