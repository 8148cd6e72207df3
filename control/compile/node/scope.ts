/** What a proxy may see: exportTo, and the Sidecar resource that applies to it. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type Fields, fields, labelsOf, namespaceOf, objects, selects, specOf, strings } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { hostCovers, resolveHost } from '../names.ts';
import { mergedVirtualServices } from '../routes/delegate.ts';
import { exportedTo } from './export-to.ts';

export interface Services {
  /** Services this proxy may call, one a host name, in the order of the view. */
  readonly list: readonly MeshService[];
  readonly byHost: ReadonlyMap<string, MeshService>;
}

export interface VirtualServices {
  /** Those this proxy may use, in Istio's order, with the rules of their delegates. */
  readonly list: readonly Resource[];
  /** Which rules have no effect, and why. */
  readonly notes: readonly string[];
}

export interface Scope {
  readonly services: Services;
  readonly virtualServices: VirtualServices;
  readonly outboundTrafficPolicy: MeshSettings['outboundTrafficPolicy'];
}

/** What decides about the scope of a proxy. */
export interface ScopeCaller {
  readonly type: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The same objects for every proxy that sees the same. */
export function scopeOf(view: MeshView, caller: ScopeCaller): Scope {
  const sidecar = sidecarOf(view, caller);
  const { namespace } = caller;
  const { domainSuffix } = view.settings;
  const all = view.resources('VirtualService');
  const policy = fields((sidecar ? specOf(sidecar) : {})['outboundTrafficPolicy'])['mode'];
  return {
    services: servicesOf({ list: visibleServices({ services: view.services, sidecar, namespace }) }),
    virtualServices: mergedVirtualServices({
      visible: visibleVirtualServices({ all, sidecar, namespace, domainSuffix }),
      all,
      domainSuffix,
    }),
    outboundTrafficPolicy:
      policy === 'REGISTRY_ONLY' || policy === 'ALLOW_ANY' ? policy : view.settings.outboundTrafficPolicy,
  };
}

/** The `ingress` entries of a Sidecar; undefined: none declared. */
export function ingressOf(sidecar: Resource | undefined): readonly Fields[] | undefined {
  const ingress = objects((sidecar ? specOf(sidecar) : {})['ingress']);
  return ingress.length > 0 ? ingress : undefined;
}

/** The Sidecar in force for a proxy; gateways have none. */
export function sidecarOf(view: MeshView, { type, namespace, labels }: ScopeCaller): Resource | undefined {
  if (type === 'router') return undefined;
  const byNamespace = sidecars({ all: view.resources('Sidecar') });
  const own = byNamespace.get(namespace) ?? [];
  return (
    own.find((item) => selectorOf(item) !== undefined && selects(labelsOf(selectorOf(item)), labels)) ??
    own.find((item) => selectorOf(item) === undefined) ??
    byNamespace.get(view.settings.rootNamespace)?.find((item) => selectorOf(item) === undefined)
  );
}

const sidecars = generator<{ all: readonly Resource[] }, ReadonlyMap<string, Resource[]>>({ all: true }, ({ all }) =>
  Map.groupBy(all, namespaceOf),
);

const selectorOf = (sidecar: Resource) => fields(specOf(sidecar)['workloadSelector'])['labels'];

const servicesOf = generator<{ list: readonly MeshService[] }, Services>({ list: true }, ({ list }) => ({
  list,
  byHost: new Map(list.map((service) => [service.hostname, service])),
}));

type Imports = (namespace: string, hostname: string) => boolean;

/** What the `egress` of a Sidecar takes in; without one, everything. */
function importsOf(sidecar: Resource | undefined, own: string): Imports {
  const spec = sidecar ? specOf(sidecar) : {};
  if (spec['egress'] === undefined) return () => true;
  const hosts = objects(spec['egress']).flatMap((item) => strings(item['hosts']));
  return (namespace, hostname) => hosts.some((host) => importCovers(host, namespace, hostname, own));
}

/** A Sidecar egress host, `namespace/host`, where the namespace may be `*`, `.` or `~`. */
function importCovers(host: string, namespace: string, hostname: string, own: string): boolean {
  const slash = host.indexOf('/');
  const [from, pattern] = slash < 0 ? ['*', host] : [host.slice(0, slash), host.slice(slash + 1)];
  if (from !== '*' && from !== namespace && !(from === '.' && namespace === own)) return false;
  return hostCovers(pattern, hostname);
}

/** One service a host name: the proxy's own namespace's, else a Kubernetes Service, else the first namespace's. */
const visibleServices = generator<
  { services: readonly MeshService[]; sidecar: Resource | undefined; namespace: string },
  readonly MeshService[]
>({ services: true, sidecar: true, namespace: true }, ({ services, sidecar, namespace }) => {
  const imports = importsOf(sidecar, namespace);
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

const visibleVirtualServices = generator<
  { all: readonly Resource[]; sidecar: Resource | undefined; namespace: string; domainSuffix: string },
  readonly Resource[]
>({ all: true, sidecar: true, namespace: true, domainSuffix: true }, ({ all, sidecar, namespace, domainSuffix }) => {
  const imports = importsOf(sidecar, namespace);
  return sharedList(
    all.filter((item) => {
      const from = namespaceOf(item);
      if (!exportedTo(strings(specOf(item)['exportTo']), from, namespace)) return false;
      return strings(specOf(item)['hosts']).some((host) => imports(from, resolveHost(host, from, domainSuffix)));
    }),
  );
});
