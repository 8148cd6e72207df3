/** What a proxy may see: exportTo, and the Sidecar resource that applies to it. */
import type { Resource } from '../../shared/resources/resource.ts';
import { exportedTo, exportToOf } from '../mesh/export-to.ts';
import { type Fields, fields, labelsOf, namespaceOf, objects, selects, specOf, strings } from '../mesh/fields.ts';
import type { MeshService, MeshSettings, MeshView } from '../mesh/view.ts';
import { hostCovers, resolveHost } from './names.ts';
import type { ProxyView } from './proxy.ts';
import type { LocalWorkload } from './workloads.ts';

export interface Scope {
  /** Services this proxy may call, one a host name. */
  readonly services: readonly MeshService[];
  service(hostname: string): MeshService | undefined;
  /** VirtualServices this proxy may use, in Istio's order. */
  readonly virtualServices: readonly Resource[];
  /** The `ingress` entries of the Sidecar of each workload that has some. */
  readonly ingress: ReadonlyMap<LocalWorkload, readonly Fields[]>;
  readonly outboundTrafficPolicy: MeshSettings['outboundTrafficPolicy'];
}

/**
 * Each workload has its Sidecar, and one proxy has the calls of all: it imports what every Sidecar imports, and is
 * REGISTRY_ONLY where one says so.
 */
export function scopeOf(view: MeshView, proxy: ProxyView): Scope {
  const sidecars = sidecarsOf(view, proxy);
  const specs = [...new Set(sidecars.values())].map((sidecar) => (sidecar ? specOf(sidecar) : {}));
  const egresses = specs
    .filter((spec) => spec['egress'] !== undefined)
    .map((spec) => objects(spec['egress']).flatMap((item) => strings(item['hosts'])));
  const imports = (namespace: string, hostname: string) =>
    egresses.every((hosts) => hosts.some((host) => importCovers(host, namespace, hostname, proxy.namespace)));
  const services = visibleServices(view, proxy, imports);
  const index = new Map(services.map((service) => [service.hostname, service]));
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
    ingress: ingressOf(sidecars),
    outboundTrafficPolicy: specs.some((spec) => outboundMode(spec, view.settings) === 'REGISTRY_ONLY')
      ? 'REGISTRY_ONLY'
      : 'ALLOW_ANY',
  };
}

/** The Sidecar of each workload, undefined where none applies. Gateways have none. */
function sidecarsOf(view: MeshView, proxy: ProxyView): Map<LocalWorkload, Resource | undefined> {
  const of = (workload: LocalWorkload) => (proxy.type === 'router' ? undefined : sidecarOf(view, workload));
  return new Map(proxy.workloads.map((workload) => [workload, of(workload)]));
}

function sidecarOf(view: MeshView, workload: LocalWorkload): Resource | undefined {
  const all = view.resources('Sidecar');
  const inNamespace = all.filter((item) => namespaceOf(item) === workload.namespace);
  const selector = (item: Resource) => fields(specOf(item)['workloadSelector'])['labels'];
  return (
    inNamespace.find((item) => selector(item) !== undefined && selects(labelsOf(selector(item)), workload.labels)) ??
    inNamespace.find((item) => selector(item) === undefined) ??
    all.find((item) => namespaceOf(item) === view.settings.rootNamespace && selector(item) === undefined)
  );
}

function ingressOf(sidecars: ReadonlyMap<LocalWorkload, Resource | undefined>): Map<LocalWorkload, Fields[]> {
  const declared = new Map<LocalWorkload, Fields[]>();
  for (const [workload, sidecar] of sidecars) {
    const ingress = sidecar ? objects(specOf(sidecar)['ingress']) : [];
    if (ingress.length > 0) declared.set(workload, ingress);
  }
  return declared;
}

function outboundMode(sidecar: Fields, settings: MeshSettings): MeshSettings['outboundTrafficPolicy'] {
  const mode = fields(sidecar['outboundTrafficPolicy'])['mode'];
  return mode === 'REGISTRY_ONLY' || mode === 'ALLOW_ANY' ? mode : settings.outboundTrafficPolicy;
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
