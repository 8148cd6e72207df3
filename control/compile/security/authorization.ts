/** The RBAC filters of this proxy's workload. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import type { MeshService } from '../../mesh/view.ts';
import type { CompileContext } from '../node/context.ts';
import type { ServedTarget } from './authorization-targets.ts';
import { buildRbacFilters, policiesFor, targetsOf } from './rbac.ts';

export interface Authorization {
  http: HttpFilter[];
  tcp: NetworkFilter[];
}

/** DENY before ALLOW, as Istio orders them. */
export function authorizationOf(ctx: CompileContext): Authorization {
  const { rootNamespace, trustDomain, trustDomainAliases = [] } = ctx.view.settings;
  const { namespace, labels, instances } = ctx.proxy;
  const all = ctx.view.resources('AuthorizationPolicy');
  const serves = distinct(instances.map(({ service }) => targetOf(service)));
  const policies = policiesFor(all, { namespace, labels, serves }, rootNamespace, ctx.note);
  noteServiceTargets(ctx, all, policies, serves);
  const settings = { trustDomain, trustDomainAliases, rootNamespace };
  const http = buildRbacFilters(policies, { kind: 'http', ...settings });
  const tcp = buildRbacFilters(policies, { kind: 'tcp', ...settings });
  return { http, tcp };
}

/** A Service is enforced by its workloads, as a whole: says so where that is more, or nothing. */
function noteServiceTargets(
  ctx: CompileContext,
  all: readonly Resource[],
  enforced: readonly Resource[],
  serves: readonly ServedTarget[],
): void {
  for (const policy of all) {
    const namespace = policy.metadata.namespace ?? 'default';
    if (namespace !== ctx.proxy.namespace) continue;
    const name = `AuthorizationPolicy ${namespace}/${policy.metadata.name}`;
    for (const target of targetsOf(policy)) {
      if (target.kind !== 'Service' && target.kind !== 'ServiceEntry') continue;
      const is = (one: ServedTarget) =>
        one.kind === target.kind && one.name === target.name && one.namespace === namespace;
      if (enforced.includes(policy) && serves.some(is) && serves.length > 1)
        ctx.note(`${name}: holds for every port of the workloads of ${target.kind} ${target.name}`);
      const services = ctx.view.services.filter((service) => is(targetOf(service)));
      if (!services.some((service) => !service.external && ctx.view.endpoints(service).length > 0))
        ctx.note(`${name}: ${target.kind} ${target.name} has no workload that could enforce it`);
    }
  }
}

function targetOf({ resource: { kind, metadata } }: MeshService): ServedTarget {
  return { kind, name: metadata.name, namespace: metadata.namespace ?? 'default' };
}

function distinct(served: readonly ServedTarget[]): ServedTarget[] {
  return [...new Map(served.map((one) => [`${one.kind}/${one.namespace}/${one.name}`, one])).values()];
}
