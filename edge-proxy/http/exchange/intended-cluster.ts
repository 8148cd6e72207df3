/** The cluster of a request that is answered here. */
import type { ClusterSet } from '../../upstream/cluster.ts';
import type { ClusterChoice, DirectAction, RedirectAction, RouteTable } from '../route-table.ts';
import type { ProxyRequest } from './proxy-request.ts';

/**
 * Names the cluster that the request would have been sent to, for the log and metrics: Envoy too knows the route before its
 * filters run.
 * @param chosen by the router, where the request got so far
 */
export function nameCluster(
  request: ProxyRequest,
  table: RouteTable | undefined,
  clusters: ClusterSet,
  random: () => number,
  chosen: ClusterChoice | RedirectAction | DirectAction | undefined,
): void {
  try {
    if (request.route === undefined) request.route = table?.match(request) ?? null;
    const action = request.route?.action;
    if (action?.kind !== 'forward') return;
    const choice = chosen ?? action.pick(request, random());
    if ('cluster' in choice) request.cluster = clusters.get(choice.cluster);
  } catch {
    // The answer is given all the same; it has no cluster to name.
  }
}
