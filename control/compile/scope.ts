/** What a proxy may see: exportTo, and the Sidecar resource that applies to it. */
import type { Resource } from '../../shared/resources/resource.ts';
import { exportedTo, exportToOf } from '../mesh/export-to.ts';
import { type Fields, fields, labelsOf, namespaceOf, objects, selects, specOf, strings } from '../mesh/fields.ts';
import type { MeshService, MeshSettings, MeshView } from '../mesh/view.ts';
import { hostCovers, resolveHost } from './names.ts';
import type { ProxyView } from './proxy.ts';

export interface Scope {
  /** Services this proxy may call, one a host name. */
  readonly services: readonly MeshService[];
  service(hostname: string): MeshService | undefined;
  /** VirtualServices this proxy may use, in Istio's order. */
  readonly virtualServices: readonly Resource[];
  /** The `ingress` entries of its Sidecar; undefined: none declared. */
  readonly ingress: readonly Fields[] | undefined;
  readonly outboundTrafficPolicy: MeshSettings['outboundTrafficPolicy'];
}

export function scopeOf(view: MeshView, proxy: ProxyView): Scope {
  const sidecar = proxy.type === 'router' ? undefined : sidecarOf(view, proxy);
  const spec = sidecar ? specOf(sidecar) : {};
  const egress =
    spec['egress'] === undefined ? undefined : objects(spec['egress']).flatMap((item) => strings(item['hosts']));
  const imports = (namespace: string, hostname: string) =>
    egress === undefined || egress.some((host) => importCovers(host, namespace, hostname, proxy.namespace));
  const services = visibleServices(view, proxy, imports);
  const index = new Map(services.map((service) => [service.hostname, service]));
  const ingress = objects(spec['ingress']);
  const policy = fields(spec['outboundTrafficPolicy'])['mode'];
  return {
    services,
    service: (hostname) => index.get(hostname),
    virtualServices: view.resources('VirtualService').filter((item) => {
      const from = namespaceOf(item);
      const exportTo = exportToOf(
        strings(specOf(item)['exportTo']),
        view.settings.config.defaultVirtualServiceExportTo,
      );
      if (!exportedTo(exportTo, from, proxy.namespace)) return false;
      return strings(specOf(item)['hosts']).some((host) =>
        imports(from, resolveHost(host, from, view.settings.domainSuffix)),
      );
    }),
    ingress: ingress.length > 0 ? ingress : undefined,
    outboundTrafficPolicy:
      policy === 'REGISTRY_ONLY' || policy === 'ALLOW_ANY' ? policy : view.settings.outboundTrafficPolicy,
  };
}

function sidecarOf(view: MeshView, proxy: ProxyView): Resource | undefined {
  const all = view.resources('Sidecar');
  const inNamespace = all.filter((item) => namespaceOf(item) === proxy.namespace);
  const selector = (item: Resource) => fields(specOf(item)['workloadSelector'])['labels'];
  return (
    inNamespace.find((item) => selector(item) !== undefined && selects(labelsOf(selector(item)), proxy.labels)) ??
    inNamespace.find((item) => selector(item) === undefined) ??
    all.find((item) => namespaceOf(item) === view.settings.rootNamespace && selector(item) === undefined)
  );
}

/** A Sidecar egress host, `namespace/host`, where the namespace may be `*`, `.` or `~`. */
function importCovers(host: string, namespace: string, hostname: string, own: string): boolean {
  const slash = host.indexOf('/');
  const [from, pattern] = slash < 0 ? ['*', host] : [host.slice(0, slash), host.slice(slash + 1)];
  if (from !== '*' && from !== namespace && !(from === '.' && namespace === own)) return false;
  return hostCovers(pattern, hostname);
}

/** One service a host name: the proxy's own namespace's, else a Kubernetes Service, else the first namespace's. */
function visibleServices(
  view: MeshView,
  proxy: ProxyView,
  imports: (namespace: string, hostname: string) => boolean,
): MeshService[] {
  const chosen = new Map<string, MeshService>();
  const rank = (service: MeshService) =>
    service.namespace === proxy.namespace ? 0 : service.resource.kind === 'Service' ? 1 : 2;
  for (const service of view.services) {
    if (!exportedTo(service.exportTo, service.namespace, proxy.namespace)) continue;
    if (!imports(service.namespace, service.hostname)) continue;
    const first = chosen.get(service.hostname);
    if (!first || rank(service) < rank(first)) chosen.set(service.hostname, service);
  }
  return [...chosen.values()];
}
