/** RouteConfiguration.validate_clusters: a route to a cluster that does not exist is a config error of its table. */
import type { RouteConfiguration } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';

/**
 * Names in headers are not known before a request; a mirror's cluster is checked as the route's.
 * @throws ConfigError where `validateClusters` is set and a cluster is missing
 */
export function validateClusters(config: RouteConfiguration, clusters: { has(name: string): boolean }): void {
  if (!config.validateClusters) return;
  const check = (name: string | undefined, path: string) => {
    if (name && !clusters.has(name)) throw new ConfigError(path, `unknown cluster "${name}"`);
  };
  const checkMirrors = (mirrors: RouteConfiguration['requestMirrorPolicies'], path: string) => {
    for (const [i, { cluster }] of (mirrors ?? []).entries())
      check(cluster, `${path}requestMirrorPolicies[${i}].cluster`);
  };
  checkMirrors(config.requestMirrorPolicies, '');
  for (const [h, host] of (config.virtualHosts ?? []).entries()) {
    checkMirrors(host.requestMirrorPolicies, `virtualHosts[${h}].`);
    for (const [r, { route }] of (host.routes ?? []).entries()) {
      const path = `virtualHosts[${h}].routes[${r}].route.`;
      check(route?.cluster, `${path}cluster`);
      for (const [i, one] of (route?.weightedClusters?.clusters ?? []).entries())
        check(one.name, `${path}weightedClusters.clusters[${i}].name`);
      checkMirrors(route?.requestMirrorPolicies, path);
    }
  }
}
