/** What a proxy may see: exportTo, and the Sidecar resource that applies to it. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Ingress } from '../../../shared/resources/schema/sidecar.ts';
import { exportedTo } from '../../mesh/export-to.ts';
import { namespaceOf, selects, specOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { hostCovers } from '../names.ts';
import type { ProxyView } from './proxy.ts';
import type { LocalWorkload } from './workloads.ts';

export type Sidecar = ResourceOfKind<'Sidecar'>;

export interface Services {
  /** Services this proxy may call, one a host name, in the order of the view. */
  readonly list: readonly MeshService[];
  readonly byHost: ReadonlyMap<string, MeshService>;
}

export interface Scope {
  readonly services: Services;
  /** The routes that this proxy may use, in the order of the view. */
  readonly routes: readonly RouteForm[];
  readonly outboundTrafficPolicy: MeshSettings['outboundTrafficPolicy'];
}

/** What decides about the scope of a proxy. */
export type ScopeCaller = Pick<ProxyView, 'traits' | 'namespace' | 'workloads'>;

/**
 * Each workload has its Sidecar, and one proxy has the calls of all: it imports what every Sidecar imports, and is
 * REGISTRY_ONLY where one says so. The same objects for every proxy that sees the same.
 */
export function scopeOf(view: MeshView, caller: ScopeCaller): Scope {
  const sidecars = sharedList([...new Set(sidecarsOf(view, caller))]);
  const { namespace } = caller;
  return {
    services: servicesOf({ list: visibleServices({ services: view.services, sidecars, namespace }) }),
    routes: visibleRoutes({ all: view.routes, sidecars, namespace }),
    outboundTrafficPolicy: sidecars.some((sidecar) => outboundMode(sidecar, view.settings) === 'REGISTRY_ONLY')
      ? 'REGISTRY_ONLY'
      : 'ALLOW_ANY',
  };
}

function outboundMode(sidecar: Sidecar | undefined, settings: MeshSettings): MeshSettings['outboundTrafficPolicy'] {
  return sidecar?.spec?.outboundTrafficPolicy?.mode ?? settings.outboundTrafficPolicy;
}

/** The `ingress` entries of a Sidecar; none: nothing is declared. */
export function ingressOf(sidecar: Sidecar | undefined): readonly Ingress[] {
  return sidecar?.spec?.ingress ?? [];
}

/** The Sidecar of each workload, undefined where none applies. */
export function sidecarsOf(view: MeshView, { traits, workloads }: ScopeCaller): (Sidecar | undefined)[] {
  return workloads.map((workload) => (traits.followsSidecars ? sidecarOf(view, workload) : undefined));
}

function sidecarOf(view: MeshView, { namespace, labels }: LocalWorkload): Sidecar | undefined {
  const byNamespace = sidecarsByNamespace({ all: view.resources('Sidecar') });
  const own = byNamespace.get(namespace) ?? [];
  return (
    own.find((item) => {
      const selector = selectorOf(item);
      return selector !== undefined && selects(selector, labels);
    }) ??
    own.find((item) => selectorOf(item) === undefined) ??
    byNamespace.get(view.settings.rootNamespace)?.find((item) => selectorOf(item) === undefined)
  );
}

const sidecarsByNamespace = generator<{ all: readonly Sidecar[] }, ReadonlyMap<string, Sidecar[]>>(
  { all: true },
  ({ all }) => Map.groupBy(all, namespaceOf),
);

const selectorOf = (sidecar: Sidecar) => specOf(sidecar).workloadSelector?.labels;

const servicesOf = generator<{ list: readonly MeshService[] }, Services>({ list: true }, ({ list }) => ({
  list,
  byHost: new Map(list.map((service) => [service.hostname, service])),
}));

/** Whether a host of a namespace is imported; a route also where one of the hosts that it covers is. */
/** The services with further ones, whose hosts they may have already: the same object where they add nothing. */
export function withServices(services: Services, added: readonly MeshService[]): Services {
  const further = added.filter(({ hostname }) => !services.byHost.has(hostname));
  return further.length === 0 ? services : joined({ services, added: sharedList(further) });
}

const joined = generator<{ services: Services; added: readonly MeshService[] }, Services>(
  { services: true, added: true },
  ({ services, added }) => servicesOf({ list: sharedList([...services.list, ...added]) }),
);

type Imports = (namespace: string, hostname: string, kind?: 'service' | 'route') => boolean;

type Sidecars = readonly (Sidecar | undefined)[];

/** Hosts that one of the Sidecars names in full. */
export const exactHosts = generator<{ sidecars: Sidecars }, ReadonlySet<string>>({ sidecars: true }, ({ sidecars }) => {
  const named = egressesOf(sidecars)
    .flat()
    .map((host) => host.slice(host.indexOf('/') + 1));
  return new Set(named.filter((host) => !host.includes('*')));
});

/** The `egress` hosts of each Sidecar that has any. */
function egressesOf(sidecars: Sidecars): string[][] {
  return sidecars
    .map((sidecar) => sidecar?.spec?.egress)
    .filter((egress) => egress !== undefined)
    .map((egress) => egress.flatMap(({ hosts }) => hosts));
}

/** What the `egress` of every Sidecar takes in; one without any takes in everything. */
function importsOf(sidecars: Sidecars, own: string): Imports {
  const egresses = egressesOf(sidecars);
  return (namespace, hostname, kind = 'service') =>
    egresses.every((hosts) => hosts.some((host) => importCovers(host, { namespace, hostname, kind }, own)));
}

/** A Sidecar egress host, `namespace/host`, where the namespace may be `*`, `.` or `~`. */
function importCovers(
  host: string,
  { namespace, hostname, kind }: { namespace: string; hostname: string; kind: 'service' | 'route' },
  own: string,
): boolean {
  const slash = host.indexOf('/');
  const [from, pattern] = slash < 0 ? ['*', host] : [host.slice(0, slash), host.slice(slash + 1)];
  if (from !== '*' && from !== namespace && !(from === '.' && namespace === own)) return false;
  return hostCovers(pattern, hostname) || (kind === 'route' && hostCovers(hostname, pattern));
}

/** One service a host name: the proxy's own namespace's, else a Kubernetes Service, else the first namespace's. */
const visibleServices = generator<
  { services: readonly MeshService[]; sidecars: Sidecars; namespace: string },
  readonly MeshService[]
>({ services: true, sidecars: true, namespace: true }, ({ services, sidecars, namespace }) => {
  const imports = importsOf(sidecars, namespace);
  const chosen = new Map<string, MeshService>();
  const rank = (service: MeshService) =>
    service.namespace === namespace ? 0 : service.resource.kind === 'Service' ? 1 : 2;
  for (const service of services) {
    if (!exportedTo(service.exportTo, service.namespace, namespace)) continue;
    if (!imports(service.namespace, service.hostname)) continue;
    const first = chosen.get(service.hostname);
    if (!first || rank(service) < rank(first)) chosen.set(service.hostname, service);
  }
  return sharedList([...chosen.values()]);
});

const visibleRoutes = generator<
  { all: readonly RouteForm[]; sidecars: Sidecars; namespace: string },
  readonly RouteForm[]
>({ all: true, sidecars: true, namespace: true }, ({ all, sidecars, namespace }) => {
  const imports = importsOf(sidecars, namespace);
  return sharedList(
    all.filter(
      ({ origin: { namespace: from }, exportTo, hosts }) =>
        exportedTo(exportTo, from, namespace) && hosts.some((host) => imports(from, host, 'route')),
    ),
  );
});
