/** What a proxy may see: exportTo, and the Sidecar resources that apply to it. */
import { parseIp } from '../../../shared/match/cidr.ts';
import { exportedTo } from '../../mesh/export-to.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { type EgressGroup, egressGroups } from './egress.ts';
import { type OutboundPolicy, outboundPolicyOf } from './outbound-policy.ts';
import type { ProxyView } from './proxy.ts';
import { imported, reachableServices } from './reachable-services.ts';
import { withAliases } from './service-aliases.ts';
import { type Sidecars, sidecarsOf } from './sidecars.ts';

export interface Services {
  /** Services this proxy may call, one a host name, in the order of the view. */
  readonly list: readonly MeshService[];
  readonly byHost: ReadonlyMap<string, MeshService>;
}

/** What a proxy calls through one group of its outbound listeners. */
export interface EgressScope {
  readonly group: EgressGroup;
  /** As they are called there: with the ports and the protocol of the group. */
  readonly services: Services;
  /** The routes that apply there, in the order of the view. */
  readonly routes: readonly RouteForm[];
}

export interface Scope {
  /** What all groups reach, and what routes lead to besides. */
  readonly services: Services;
  /** The routes that apply to any group, in the order of the view. */
  readonly routes: readonly RouteForm[];
  /** In the order of the Sidecar: where two want one listener, the first has it. */
  readonly egress: readonly EgressScope[];
  readonly outboundPolicy: OutboundPolicy;
}

/** What decides about the scope of a proxy. */
export type ScopeCaller = Pick<ProxyView, 'traits' | 'namespace' | 'workloads'> &
  Partial<Pick<ProxyView, 'ips' | 'capturesDns'>>;

/**
 * Each workload has its Sidecar, and one proxy has the calls of all: it imports what every Sidecar imports, and is
 * REGISTRY_ONLY where one says so. The same objects for every proxy that sees the same.
 */
export function scopeOf(view: MeshView, caller: ScopeCaller): Scope {
  const sidecars = sharedList([...new Set(sidecarsOf(view, caller))]);
  const { services, routes, settings } = view;
  const mesh = settings.outboundTrafficPolicy;
  return scope({ services, routes, sidecars, namespace: caller.namespace, mesh, families: familiesOf(caller) });
}

/** The address families in which services have automatic addresses for a proxy, as `4`, `6` or `46`; '': none. */
function familiesOf({ capturesDns = false, ips = [] }: ScopeCaller): string {
  if (!capturesDns) return '';
  const has = (family: 4 | 6) => ips.some((ip) => parseIp(ip)?.family === family);
  return `${has(4) ? '4' : ''}${has(6) ? '6' : ''}`;
}

interface ScopeInput {
  readonly families: string;
  readonly services: readonly MeshService[];
  readonly routes: readonly RouteForm[];
  readonly sidecars: Sidecars;
  readonly namespace: string;
  /** MeshConfig.outboundTrafficPolicy. */
  readonly mesh: MeshSettings['outboundTrafficPolicy'];
}

const scope = generator<ScopeInput, Scope>(
  { services: true, routes: true, sidecars: true, namespace: true, mesh: true, families: true },
  ({ services: all, routes, sidecars, namespace, mesh, families }) => {
    const visible = exportedServices({ services: withAliases({ services: all }), namespace });
    const exported = addressedServices({ services: visible, families });
    const exportedForms = exportedRoutes({ all: routes, namespace });
    const groups = egressGroups({ sidecars, namespace });
    const egress = groups.map((group) =>
      egressScope({
        group,
        services: servicesOf({ list: imported({ services: exported, group, namespace }) }),
        routes: importedRoutes({ all: exportedForms, group }),
      }),
    );
    const forms = joinedRoutes({ all: exportedForms, lists: sharedList(egress.map((each) => each.routes)) });
    const policy = outboundPolicyOf({ sidecars, mesh });
    const { egressProxy } = policy;
    const reached = reachableServices({ exported, groups, forms, namespace, egressProxy });
    return {
      services: servicesOf({ list: reached }),
      routes: forms,
      egress: sharedList(egress),
      outboundPolicy: policy,
    };
  },
);

const egressScope = generator<EgressScope, EgressScope>({ services: true, routes: true, group: true }, (each) => each);

const servicesOf = generator<{ list: readonly MeshService[] }, Services>({ list: true }, ({ list }) => ({
  list,
  byHost: new Map(list.map((service) => [service.hostname, service])),
}));

/** The services with further ones, which replace those of other namespaces with their hosts: the same object where they add nothing. */
export function withServices(services: Services, added: readonly MeshService[]): Services {
  const further = added.filter(({ hostname, namespace }) => services.byHost.get(hostname)?.namespace !== namespace);
  return further.length === 0 ? services : joined({ services, added: sharedList(further) });
}

const joined = generator<{ services: Services; added: readonly MeshService[] }, Services>(
  { services: true, added: true },
  ({ services, added }) => {
    const hosts = new Set(added.map(({ hostname }) => hostname));
    return servicesOf({
      list: sharedList([...services.list.filter(({ hostname }) => !hosts.has(hostname)), ...added]),
    });
  },
);

const exportedServices = generator<{ services: readonly MeshService[]; namespace: string }, readonly MeshService[]>(
  { services: true, namespace: true },
  ({ services, namespace }) =>
    sharedList(services.filter((service) => exportedTo(service.exportTo, service.namespace, namespace))),
);

/** Services as proxies of these address families find them. */
const addressedServices = generator<{ services: readonly MeshService[]; families: string }, readonly MeshService[]>(
  { services: true, families: true },
  ({ services, families }) =>
    families === '' ? services : sharedList(services.map((service) => addressed({ service, families }))),
);

const addressed = generator<{ service: MeshService; families: string }, MeshService>(
  { service: true, families: true },
  ({ service, families }) => {
    if (service.addresses.length > 0 || !service.autoAddresses) return service;
    const addresses = service.autoAddresses.filter((address) => families.includes(address.includes(':') ? '6' : '4'));
    return addresses.length === 0 ? service : { ...service, addresses, whole: service.whole ?? service };
  },
);

const exportedRoutes = generator<{ all: readonly RouteForm[]; namespace: string }, readonly RouteForm[]>(
  { all: true, namespace: true },
  ({ all, namespace }) =>
    sharedList(all.filter(({ origin, exportTo }) => exportedTo(exportTo, origin.namespace, namespace))),
);

const importedRoutes = generator<{ all: readonly RouteForm[]; group: EgressGroup }, readonly RouteForm[]>(
  { all: true, group: true },
  ({ all, group }) => sharedList(all.filter((form) => group.imports.route(form))),
);

const joinedRoutes = generator<
  { all: readonly RouteForm[]; lists: readonly (readonly RouteForm[])[] },
  readonly RouteForm[]
>({ all: true, lists: true }, ({ all, lists }) => {
  if (lists.length === 1) return lists[0]!;
  const any = new Set(lists.flat());
  return sharedList(all.filter((form) => any.has(form)));
});
