/** The RBAC filters of the workloads behind this proxy. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { HttpFilter } from '../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../shared/xds/listener.ts';
import type { MeshService, MeshView } from '../mesh/view.ts';
import type { ServedTarget } from './authorization-targets.ts';
import { actionOf, buildRbacFilters, policiesFor, targetsOf } from './rbac.ts';
import { type LocalWorkload, workloadsAt } from './workloads.ts';

export interface Authorization {
  http: HttpFilter[];
  tcp: NetworkFilter[];
}

type Note = (message: string) => void;

/**
 * The filters of each port, built once for the same workloads. Where a port belongs to several workloads every one must
 * admit: what one denies is denied, and each one's ALLOW policies are a filter of their own.
 */
export function authorizations(
  view: MeshView,
  workloads: readonly LocalWorkload[],
  note: Note,
): (port: number) => Authorization {
  const all = view.resources('AuthorizationPolicy');
  const { rootNamespace } = view.settings;
  const policies = new Map<LocalWorkload, readonly Resource[]>();
  for (const workload of workloads) {
    const { namespace, labels } = workload;
    const serves = distinct(workload.services.map(targetOf));
    const own = policiesFor(all, { namespace, labels, serves }, rootNamespace, note);
    noteServiceTargets(view, namespace, { all, enforced: own, serves }, note);
    policies.set(workload, own);
  }
  const built = new Map<string, Authorization>();
  return (port) => {
    const here = workloadsAt(workloads, port);
    const key = here.map((workload) => workloads.indexOf(workload)).join();
    const known = built.get(key);
    if (known) return known;
    const authorization = authorizationOf(
      view,
      here.map((workload) => policies.get(workload)!),
    );
    built.set(key, authorization);
    return authorization;
  };
}

/** DENY before ALLOW, as Istio orders them. `sets`: the policies of each workload. */
function authorizationOf(view: MeshView, sets: readonly (readonly Resource[])[]): Authorization {
  const { rootNamespace, trustDomain, trustDomainAliases = [] } = view.settings;
  const settings = { trustDomain, trustDomainAliases, rootNamespace };
  const restricting = [...new Set(sets.flat())].filter((policy) => actionOf(policy) !== 'ALLOW');
  const allowing = sets.map((set) => set.filter((policy) => actionOf(policy) === 'ALLOW'));
  const groups = [restricting, ...withoutRepeats(allowing)];
  return {
    http: groups.flatMap((group) => buildRbacFilters(group, { kind: 'http', ...settings })),
    tcp: groups.flatMap((group) => buildRbacFilters(group, { kind: 'tcp', ...settings })),
  };
}

/** Workloads with the very same policies need them judged once. */
function withoutRepeats(sets: readonly (readonly Resource[])[]): (readonly Resource[])[] {
  const same = (a: readonly Resource[], b: readonly Resource[]) =>
    a.length === b.length && a.every((policy, i) => policy === b[i]);
  return sets.filter((set, i) => sets.findIndex((other) => same(other, set)) === i);
}

/** A Service is enforced by its workloads, as a whole: says so where that is more, or nothing. */
function noteServiceTargets(
  view: MeshView,
  workloadNamespace: string,
  policies: { all: readonly Resource[]; enforced: readonly Resource[]; serves: readonly ServedTarget[] },
  note: Note,
): void {
  for (const policy of policies.all) {
    const namespace = policy.metadata.namespace ?? 'default';
    if (namespace !== workloadNamespace) continue;
    const name = `AuthorizationPolicy ${namespace}/${policy.metadata.name}`;
    for (const target of targetsOf(policy)) {
      if (target.kind !== 'Service' && target.kind !== 'ServiceEntry') continue;
      const is = (one: ServedTarget) =>
        one.kind === target.kind && one.name === target.name && one.namespace === namespace;
      const { enforced, serves } = policies;
      if (enforced.includes(policy) && serves.some(is) && serves.length > 1)
        note(`${name}: holds for every port of the workloads of ${target.kind} ${target.name}`);
      const services = view.services.filter((service) => is(targetOf(service)));
      if (!services.some((service) => !service.external && view.endpoints(service).length > 0))
        note(`${name}: ${target.kind} ${target.name} has no workload that could enforce it`);
    }
  }
}

function targetOf({ resource: { kind, metadata } }: MeshService): ServedTarget {
  return { kind, name: metadata.name, namespace: metadata.namespace ?? 'default' };
}

function distinct(served: readonly ServedTarget[]): ServedTarget[] {
  return [...new Map(served.map((one) => [`${one.kind}/${one.namespace}/${one.name}`, one])).values()];
}
