/** The RBAC filters of this proxy's workload. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import type { ServedTarget, TargetedWorkload } from './authorization-targets.ts';
import { buildRbacFilters, policiesFor, targetsOf } from './rbac.ts';

export interface Authorization {
  http: HttpFilter[];
  tcp: NetworkFilter[];
}

/** The workload whose policies are wanted. */
export interface PolicedWorkload {
  readonly namespace: string;
  readonly labels: Record<string, string>;
  /** Services it serves. */
  readonly serves: readonly MeshService[];
}

type PolicySettings = Pick<MeshSettings, 'rootNamespace' | 'trustDomain' | 'trustDomainAliases'>;

/** DENY before ALLOW, as Istio orders them. */
export function authorizationOf(
  policies: readonly Resource[],
  workload: PolicedWorkload,
  settings: PolicySettings,
  note: (message: string) => void,
): Authorization {
  const { rootNamespace, trustDomain, trustDomainAliases = [] } = settings;
  const chosen = policiesFor(policies, targetedOf(workload), rootNamespace, note);
  const context = { trustDomain, trustDomainAliases, rootNamespace };
  const http = buildRbacFilters(chosen, { kind: 'http', ...context });
  const tcp = buildRbacFilters(chosen, { kind: 'tcp', ...context });
  return { http, tcp };
}

/** Policies of a namespace and of the root namespace, oldest first: the same list as long as none of them changes. */
export function policiesOf(
  policies: readonly Resource[],
  namespace: string,
  rootNamespace: string,
): readonly Resource[] {
  return policiesByPlace({ policies, namespace, rootNamespace });
}

const policiesByPlace = generator<
  { policies: readonly Resource[]; namespace: string; rootNamespace: string },
  readonly Resource[]
>({ policies: true, namespace: true, rootNamespace: true }, ({ policies, namespace, rootNamespace }) =>
  sharedList(policies.filter((policy) => [namespace, rootNamespace].includes(namespaceOf(policy)))),
);

function targetedOf({ namespace, labels, serves }: PolicedWorkload): TargetedWorkload {
  return { namespace, labels, serves: distinct(serves.map(targetOf)) };
}

/** A Service is enforced by its workloads, as a whole: says so where that is more, or nothing. */
export function noteServiceTargets(view: MeshView, workload: PolicedWorkload, note: (message: string) => void): void {
  const { rootNamespace } = view.settings;
  const all = view.resources('AuthorizationPolicy');
  const targeted = targetedOf(workload);
  const serves = targeted.serves ?? [];
  const enforced = policiesFor(all, targeted, rootNamespace);
  for (const policy of all) {
    const namespace = policy.metadata.namespace ?? 'default';
    if (namespace !== workload.namespace) continue;
    const name = `AuthorizationPolicy ${namespace}/${policy.metadata.name}`;
    for (const target of targetsOf(policy)) {
      if (target.kind !== 'Service' && target.kind !== 'ServiceEntry') continue;
      const is = (one: ServedTarget) =>
        one.kind === target.kind && one.name === target.name && one.namespace === namespace;
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
