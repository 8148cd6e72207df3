/** Discovery's target in a worker: it runs one RouteConfiguration; the other resources are the gateway's business. */

import { SCHEMAS } from '../../../shared/xds/discovery.ts';
import type { RouteConfiguration } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';
import type { ConfigChanges, ConfigTarget } from '../../control-client/config-target.ts';
import type { RouteTable } from '../../http/routing/route-table.ts';
import { compileRouteConfiguration, type RouteDeps } from '../../xds/route/compile-routes.ts';

export class WorkerRoutes implements ConfigTarget {
  private readonly name: string;
  private readonly deps: RouteDeps;
  /** undefined: none has come, or it was withdrawn. */
  table: RouteTable | undefined;

  constructor(name: string, deps: RouteDeps) {
    this.name = name;
    this.deps = deps;
  }

  /** An invalid configuration is refused; the previous one stays in force. */
  apply(changes: ConfigChanges): Map<string, string> {
    const refused = new Map<string, string>();
    if (changes.routes?.remove.includes(this.name)) this.table = undefined;
    for (const item of changes.routes?.upsert ?? []) {
      if ((item as { name?: unknown }).name !== this.name) continue;
      try {
        this.table = compileTable(item, this.deps);
      } catch (error) {
        refused.set(`routes/${this.name}`, error instanceof Error ? error.message : String(error));
      }
    }
    return refused;
  }
}

function compileTable(item: unknown, deps: RouteDeps): RouteTable {
  const parsed = SCHEMAS.routes.safeParse(item);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new ConfigError(issue?.path.join('.') || 'resource', issue?.message ?? 'is malformed');
  }
  refuseMirrors(parsed.data);
  return compileRouteConfiguration(parsed.data, deps);
}

/** A worker reaches the gateway alone and cannot name a mirror's cluster to it: a mirror is refused, not ignored. */
function refuseMirrors(config: RouteConfiguration): void {
  for (const [i, host] of (config.virtualHosts ?? []).entries())
    for (const [j, { route }] of (host.routes ?? []).entries())
      if (route?.requestMirrorPolicies?.length)
        throw new ConfigError(
          `virtualHosts[${i}].routes[${j}].route.requestMirrorPolicies`,
          'is not supported by edge workers: mirror at the gateway',
        );
}
