/** Resources -> MeshView: pure, so that `tulle compile` and the control plane see the very same mesh. */
import type { Resource } from '../../shared/resources/resource.ts';
import { namespaceOf } from './fields.ts';
import { kubernetesService } from './kubernetes-service.ts';
import { settingsFrom } from './mesh-config.ts';
import { type ServiceAndEndpoints, serviceEntryServices } from './service-entry.ts';
import type { MeshEndpoint, MeshService, MeshSettings, MeshView, ServiceEndpoint } from './view.ts';

/** Istio's order of conflicts: oldest, then name, then namespace. */
export function byAge(a: Resource, b: Resource): number {
  return (
    compare(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '') ||
    compare(a.metadata.name, b.metadata.name) ||
    compare(namespaceOf(a), namespaceOf(b))
  );
}
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * An immutable view of `resources` at `revision`; `settings` overrides what ConfigMap istio-system/istio says.
 * Resources are taken as validated. A resource that names no namespace is in `default`.
 * @throws MeshConfigError when the mesh's own ConfigMap cannot be read
 */
export function buildView(resources: readonly Resource[], revision: number, settings?: MeshSettings): MeshView {
  const byKind = new Map<string, Resource[]>();
  for (const resource of resources) {
    const list = byKind.get(resource.kind);
    if (list) list.push(resource);
    else byKind.set(resource.kind, [resource]);
  }
  for (const list of byKind.values()) list.sort(byAge);
  const inForce = settings ?? settingsFrom(resources);
  const found = collectServices(byKind, inForce);
  const services = found.map((item) => item.service);
  const endpoints = new Map<MeshService, readonly MeshEndpoint[]>(found.map((item) => [item.service, item.endpoints]));
  const index = new Map(services.map((service) => [`${service.namespace}/${service.hostname}`, service]));
  let byAddress: ReadonlyMap<string, readonly ServiceEndpoint[]> | undefined;
  return {
    revision,
    settings: inForce,
    services,
    service: (hostname, namespace) => index.get(`${namespace}/${hostname}`),
    endpoints: (service) => endpoints.get(service) ?? [],
    endpointsAt: (address) => {
      byAddress ??= indexByAddress(found);
      return byAddress.get(address) ?? [];
    },
    resources: (kind) => byKind.get(kind) ?? [],
  };
}

function indexByAddress(found: readonly ServiceAndEndpoints[]): Map<string, ServiceEndpoint[]> {
  const index = new Map<string, ServiceEndpoint[]>();
  for (const { service, endpoints } of found)
    for (const endpoint of endpoints) {
      const here = index.get(endpoint.address);
      if (here) here.push({ service, endpoint });
      else index.set(endpoint.address, [{ service, endpoint }]);
    }
  return index;
}

function collectServices(byKind: Map<string, Resource[]>, settings: MeshSettings): ServiceAndEndpoints[] {
  const workloadEntries = byKind.get('WorkloadEntry') ?? [];
  const slices = byKind.get('EndpointSlice') ?? [];
  const all = (byKind.get('Service') ?? []).map((item) => kubernetesService(item, slices, workloadEntries, settings));
  const exportTo = settings.config.defaultServiceExportTo;
  for (const entry of byKind.get('ServiceEntry') ?? [])
    all.push(...serviceEntryServices(entry, workloadEntries, exportTo));
  const merged = new Map<string, ServiceAndEndpoints>();
  for (const item of all) {
    const key = `${item.service.hostname} ${item.service.namespace}`;
    const first = merged.get(key);
    merged.set(key, first ? mergeServices(first, item) : item);
  }
  return [...merged.values()].sort(
    (a, b) => compare(a.service.hostname, b.service.hostname) || compare(a.service.namespace, b.service.namespace),
  );
}

/** Two definitions of one host in one namespace: the older one's settings, both ones' ports and endpoints. */
function mergeServices(first: ServiceAndEndpoints, second: ServiceAndEndpoints): ServiceAndEndpoints {
  const known = new Set(first.service.ports.map((port) => port.number));
  const ports = [...first.service.ports, ...second.service.ports.filter((port) => !known.has(port.number))];
  return { service: { ...first.service, ports }, endpoints: [...first.endpoints, ...second.endpoints] };
}
