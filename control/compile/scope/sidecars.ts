/** Which Sidecar resource applies to a workload, and which ones do not because of it. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Ingress } from '../../../shared/resources/schema/sidecar.ts';
import { namespaceOf, selects, specOf } from '../../mesh/fields.ts';
import type { MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import type { ProxyView } from './proxy.ts';
import type { LocalWorkload } from './workloads.ts';

/** What decides which Sidecars a proxy follows. */
export type SidecarCaller = Pick<ProxyView, 'traits' | 'workloads'>;

export type Sidecar = ResourceOfKind<'Sidecar'>;
/** One for each workload of a proxy, without repetition; undefined: none applies. */
export type Sidecars = readonly (Sidecar | undefined)[];

/** The `ingress` entries of a Sidecar; none: nothing is declared. */
export function ingressOf(sidecar: Sidecar | undefined): readonly Ingress[] {
  return sidecar?.spec?.ingress ?? [];
}

/** The Sidecar of each workload, undefined where none applies. */
export function sidecarsOf(view: MeshView, { traits, workloads }: SidecarCaller): (Sidecar | undefined)[] {
  return workloads.map((workload) => (traits.followsSidecars ? candidatesOf(view, workload)[0] : undefined));
}

/**
 * A Sidecar that selects the workload, else one of its namespace without a selector, else one of the root namespace without a
 * selector; of several the oldest (istio.io: Sidecar). Those behind the first do not apply.
 */
function candidatesOf(view: MeshView, { namespace, labels }: LocalWorkload): Sidecar[] {
  const byNamespace = sidecarsByNamespace({ all: view.resources('Sidecar') });
  const own = byNamespace.get(namespace) ?? [];
  const selecting = own.filter((item) => {
    const selector = selectorOf(item);
    return selector !== undefined && selects(selector, labels);
  });
  if (selecting.length > 0) return selecting;
  const general = own.filter((item) => selectorOf(item) === undefined);
  if (general.length > 0) return general;
  return (byNamespace.get(view.settings.rootNamespace) ?? []).filter((item) => selectorOf(item) === undefined);
}

/** Sidecars that would apply to a workload if an older one of the same rank did not. */
export function sidecarFindings(view: MeshView, { traits, workloads }: SidecarCaller): readonly Finding[] {
  if (!traits.followsSidecars) return [];
  return workloads.flatMap((workload) => {
    const [first, ...others] = candidatesOf(view, workload);
    return first && others.length > 0 ? conflicts({ first, others: sharedList(others) }) : [];
  });
}

const conflicts = generator<{ first: Sidecar; others: readonly Sidecar[] }, readonly Finding[]>(
  { first: true, others: true },
  ({ first, others }) => {
    const name = `${namespaceOf(first)}/${first.metadata.name}`;
    return others.map((about): Finding => {
      const message = selectorOf(about)
        ? `spec.workloadSelector: has no effect on workloads that the older Sidecar ${name} selects as well`
        : `has no effect: the older Sidecar ${name} applies to all workloads without a selector, too`;
      return { about, reason: 'RuleWithoutEffect', message };
    });
  },
);

const sidecarsByNamespace = generator<{ all: readonly Sidecar[] }, ReadonlyMap<string, Sidecar[]>>(
  { all: true },
  ({ all }) => Map.groupBy(all, namespaceOf),
);

const selectorOf = (sidecar: Sidecar) => specOf(sidecar).workloadSelector?.labels;

/** Hosts that one of the Sidecars names in full. */
export const exactHosts = generator<{ sidecars: Sidecars }, ReadonlySet<string>>({ sidecars: true }, ({ sidecars }) => {
  const hosts = sidecars.flatMap((sidecar) => (sidecar?.spec?.egress ?? []).flatMap((egress) => egress.hosts));
  const named = hosts.filter((host) => !host.startsWith('~')).map((host) => host.slice(host.indexOf('/') + 1));
  return new Set(named.filter((host) => !host.includes('*')));
});
