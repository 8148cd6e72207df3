/** The RBAC filters of the workloads behind a proxy. */
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import { type LocalWorkload, workloadsAt } from '../scope/workloads.ts';
import type { PlacedFilters } from '../sidecar/filter-places.ts';
import type { ServedTarget } from './authorization-targets.ts';
import type { Authorizers } from './authorizers.ts';
import { buildCustomFilters, notAskedAboutTcp } from './custom.ts';
import {
  type AuthorizationPolicy,
  actionOf,
  buildRbacFilters,
  policiesFor,
  type ReportPolicy,
  targetsOf,
} from './rbac.ts';

export interface Authorization {
  http: PlacedFilters;
  tcp: NetworkFilter[];
  /** CUSTOM policies that `tcp` leaves out. */
  readonly notAsked: readonly AuthorizationPolicy[];
}

type PolicySettings = Pick<
  MeshSettings,
  'rootNamespace' | 'trustDomain' | 'trustDomainAliases' | 'multipleAuthorizers'
>;

/** What the policies of the workloads behind a proxy are compiled with. */
export interface AuthorizationInput {
  readonly policies: readonly AuthorizationPolicy[];
  readonly authorizers: Authorizers;
  readonly settings: PolicySettings;
  readonly workloads: readonly LocalWorkload[];
  /** A policy that is not in force as written: what cannot be judged is denied. */
  onError(finding: Finding): void;
}

/**
 * The filters of each port, built once for the same workloads. Where a port belongs to several workloads every one must
 * admit: what one denies is denied, and each one's ALLOW policies are a filter of their own.
 */
export function authorizations(input: AuthorizationInput): (port: number) => Authorization {
  const { settings, workloads, onError } = input;
  const report: ReportPolicy = (about, message) => onError({ about, reason: 'PolicyFailsClosed', message });
  const policies = new Map(
    workloads.map((one) => [one, policiesFor(input.policies, targetedOf(one), settings.rootNamespace, report)]),
  );
  const built = new Map<string, Authorization>();
  return (port) => {
    const here = workloadsAt(workloads, port);
    const key = here.map((workload) => workloads.indexOf(workload)).join();
    const known = built.get(key);
    if (known) return known;
    const sets = here.map((workload) => policies.get(workload) ?? []);
    const authorization = authorizationOf(input, sets, report);
    built.set(key, authorization);
    return authorization;
  };
}

/** CUSTOM before DENY before ALLOW, as Istio orders them. `sets`: the policies of each workload. */
function authorizationOf(
  {
    settings: { rootNamespace, trustDomain, trustDomainAliases = [], multipleAuthorizers = false },
    authorizers,
  }: AuthorizationInput,
  sets: readonly (readonly AuthorizationPolicy[])[],
  report: ReportPolicy,
): Authorization {
  const ctx = { trustDomain, trustDomainAliases, rootNamespace, report };
  const custom = withoutRepeats(sets.map((set) => set.filter((policy) => actionOf(policy) === 'CUSTOM')));
  const restricting = [...new Set(sets.flat())].filter((policy) => !['ALLOW', 'CUSTOM'].includes(actionOf(policy)));
  const allowing = sets.map((set) => set.filter((policy) => actionOf(policy) === 'ALLOW'));
  const groups = [restricting, ...withoutRepeats(allowing)];
  const asking = { ...ctx, authorizers, multipleAuthorizers };
  return {
    notAsked: notAskedAboutTcp([...new Set(sets.flat())], authorizers),
    http: {
      custom: custom.flatMap((group) => buildCustomFilters(group, { kind: 'http', ...asking })),
      authorization: groups.flatMap((group) => buildRbacFilters(group, { kind: 'http', ...ctx })),
    },
    tcp: [
      ...custom.flatMap((group) => buildCustomFilters(group, { kind: 'tcp', ...asking })),
      ...groups.flatMap((group) => buildRbacFilters(group, { kind: 'tcp', ...ctx })),
    ],
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
export function noteServiceTargets(view: MeshView, workload: LocalWorkload, note: (message: string) => void): void {
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
