/** The cluster of a request that is answered here. */
import type { ManagerParts } from '../downstream/manager-config.ts';
import type { ClusterChoice, DirectAction, RedirectAction } from '../route-table.ts';
import type { ProxyRequest } from './proxy-request.ts';

/**
 * Who would have been asked, for the log and metrics: Envoy too knows the route before its filters run.
 * @param chosen by the router, if it came to that
 */
export function nameCluster(
  request: ProxyRequest,
  parts: ManagerParts,
  chosen: ClusterChoice | RedirectAction | DirectAction | undefined,
): void {
  try {
    if (request.route === undefined) request.route = parts.routes()?.match(request) ?? null;
    const action = request.route?.action;
    if (action?.kind !== 'forward') return;
    const choice = chosen ?? action.pick(request, parts.runtime.random());
    if ('cluster' in choice) request.cluster = parts.clusters.get(choice.cluster);
  } catch {
    // The answer is given all the same; it has no cluster to name.
  }
}
