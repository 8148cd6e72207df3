/** The RBAC filters of the workloads behind a proxy. */
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { type LocalWorkload, workloadsAt } from '../scope/workloads.ts';
import type { PlacedFilters } from '../sidecar/filter-places.ts';
import type { ServedTarget } from './authorization-targets.ts';
import { type AuthorizationPolicy, actionOf, buildRbacFilters, policiesFor, targetsOf } from './rbac.ts';

export interface Authorization {
  http: PlacedFilters;
  tcp: NetworkFilter[];
}

type Note = (message: string) => void;
type PolicySettings = Pick<MeshSettings, 'rootNamespace' | 'trustDomain' | 'trustDomainAliases'>;

/**
 * The filters of each port, built once for the same workloads. Where a port belongs to several workloads every one must
 * admit: what one denies is denied, and each one's ALLOW policies are a filter of their own.
 */
export function authorizations(
  all: readonly AuthorizationPolicy[],
  settings: PolicySettings,
  workloads: readonly LocalWorkload[],
  note: Note,
): (port: number) => Authorization {
  const policies = new Map(
    workloads.map((one) => [one, policiesFor(all, targetedOf(one), settings.rootNamespace, note)]),
  );
  const built = new Map<string, Authorization>();
  return (port) => {
    const here = workloadsAt(workloads, port);
    const key = here.map((workload) => workloads.indexOf(workload)).join();
    const known = built.get(key);
    if (known) return known;
    const authorization = authorizationOf(
      settings,
      here.map((workload) => policies.get(workload) ?? []),
    );
    built.set(key, authorization);
    return authorization;
  };
}

/** DENY before ALLOW, as Istio orders them. `sets`: the policies of each workload. */
function authorizationOf(
  { rootNamespace, trustDomain, trustDomainAliases = [] }: PolicySettings,
  sets: readonly (readonly AuthorizationPolicy[])[],
): Authorization {
  const settings = { trustDomain, trustDomainAliases, rootNamespace };
  const restricting = [...new Set(sets.flat())].filter((policy) => actionOf(policy) !== 'ALLOW');
  const allowing = sets.map((set) => set.filter((policy) => actionOf(policy) === 'ALLOW'));
  const groups = [restricting, ...withoutRepeats(allowing)];
  return {
    http: { authorization: groups.flatMap((group) => buildRbacFilters(group, { kind: 'http', ...settings })) },
    tcp: groups.flatMap((group) => buildRbacFilters(group, { kind: 'tcp', ...settings })),
  };
}

/** Workloads with the very same policies need them judged once. */
function withoutRepeats(sets: readonly (readonly AuthorizationPolicy[])[]): (readonly AuthorizationPolicy[])[] {
  const same = (a: readonly AuthorizationPolicy[], b: readonly AuthorizationPolicy[]) =>
    a.length === b.length && a.every((policy, i) => policy === b[i]);
  return sets.filter((set, i) => sets.findIndex((other) => same(other, set)) === i);
}

/** Policies of a namespace and of the root namespace, oldest first: the same list as long as none of them changes. */
export function policiesOf(
  policies: readonly AuthorizationPolicy[],
  namespace: string,
  rootNamespace: string,
): readonly AuthorizationPolicy[] {
  return policiesByPlace({ policies, namespace, rootNamespace });
}

const policiesByPlace = generator<
  { policies: readonly AuthorizationPolicy[]; namespace: string; rootNamespace: string },
  readonly AuthorizationPolicy[]
>({ policies: true, namespace: true, rootNamespace: true }, ({ policies, namespace, rootNamespace }) =>
  sharedList(policies.filter((policy) => [namespace, rootNamespace].includes(namespaceOf(policy)))),
);

/** A workload as targets of policies are judged against it. */
export function targetedOf({ namespace, labels, services }: LocalWorkload) {
  return { namespace, labels, serves: distinct(services.map(targetOf)) };
}

/** A Service is enforced by its workloads, as a whole: says so where that is more, or nothing. */
export function noteServiceTargets(view: MeshView, workload: LocalWorkload, note: Note): void {
  const all = view.resources('AuthorizationPolicy');
  const targeted = targetedOf(workload);
  const { serves } = targeted;
  const enforced = policiesFor(all, targeted, view.settings.rootNamespace);
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
