/** ServiceEntry and WorkloadEntry -> services and endpoints. Source: istio.io/latest/docs/reference/config/networking/service-entry */
import type { Resource } from '../../shared/resources/resource.ts';
import { exportToOf } from './export-to.ts';
import {
  type Fields,
  fields,
  labelsOf,
  namespaceOf,
  numeric,
  objects,
  selects,
  specOf,
  strings,
  text,
} from './fields.ts';
import { protocolOf } from './protocol.ts';
import type { MeshEndpoint, MeshService, ServicePort } from './view.ts';

export interface ServiceAndEndpoints {
  service: MeshService;
  endpoints: MeshEndpoint[];
}

/** One workload as a WorkloadEntry, or an inline endpoint, describes it. */
interface Workload {
  kind: 'WorkloadEntry' | 'ServiceEntry' | 'Service';
  name: string;
  namespace: string;
  body: Fields;
  labels: Record<string, string>;
}

/** @param meshExportTo MeshConfig.defaultServiceExportTo */
export function serviceEntryServices(
  entry: Resource,
  workloadEntries: readonly Resource[],
  meshExportTo: readonly string[] | undefined,
): ServiceAndEndpoints[] {
  const spec = specOf(entry);
  const namespace = namespaceOf(entry);
  const ports = objects(spec['ports']).map(servicePort);
  const exportTo = exportToOf(strings(spec['exportTo']), meshExportTo);
  return strings(spec['hosts']).map((hostname) => {
    const service: MeshService = {
      hostname,
      namespace,
      name: hostname,
      ports,
      addresses: strings(spec['addresses']),
      resolution: resolutionOf(spec['resolution']),
      external: spec['location'] !== 'MESH_INTERNAL',
      exportTo,
      subjectAltNames: strings(spec['subjectAltNames']),
      labels: entry.metadata.labels ?? {},
      creationTimestamp: entry.metadata.creationTimestamp ?? '',
      resource: entry,
    };
    const workloads = workloadsOf(entry, hostname, workloadEntries);
    return { service, endpoints: workloads.flatMap((workload) => workloadEndpoints(workload, ports)) };
  });
}

function servicePort(port: Fields): ServicePort {
  const number = numeric(port['number']) ?? 0;
  const name = text(port['name']) ?? '';
  const targetPort = numeric(port['targetPort']);
  const protocol = protocolOf(text(port['protocol']), undefined);
  return targetPort ? { number, name, protocol, targetPort } : { number, name, protocol };
}

function resolutionOf(value: unknown): MeshService['resolution'] {
  switch (value) {
    case 'STATIC':
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
    case 'DYNAMIC_DNS':
      return value;
    default:
      return 'NONE';
  }
}

function workloadsOf(entry: Resource, hostname: string, workloadEntries: readonly Resource[]): Workload[] {
  const spec = specOf(entry);
  const namespace = namespaceOf(entry);
  const selector = fields(spec['workloadSelector']);
  if (spec['workloadSelector'] !== undefined)
    return selectedWorkloads(labelsOf(selector['labels']), namespace, workloadEntries);
  const inline = objects(spec['endpoints']);
  const { name } = entry.metadata;
  // A DNS service without endpoints resolves its own host.
  if (inline.length === 0 && (spec['resolution'] === 'DNS' || spec['resolution'] === 'DNS_ROUND_ROBIN'))
    return [{ kind: 'ServiceEntry', name, namespace, body: { address: hostname }, labels: {} }];
  return inline.map((body, index) => ({
    kind: 'ServiceEntry',
    name: `${name}-${index}`,
    namespace,
    body,
    labels: labelsOf(body['labels']),
  }));
}

/** WorkloadEntries of `namespace` that `selector` selects; an empty selector selects none. */
export function selectedWorkloads(
  selector: Record<string, string>,
  namespace: string,
  workloadEntries: readonly Resource[],
): Workload[] {
  if (Object.keys(selector).length === 0) return [];
  return workloadEntries
    .filter((item) => namespaceOf(item) === namespace)
    .map(entryWorkload)
    .filter((workload) => selects(selector, workload.labels));
}

/** `spec.labels` over `metadata.labels`. */
export function entryWorkload(entry: Resource): Workload {
  return {
    kind: 'WorkloadEntry',
    name: entry.metadata.name,
    namespace: namespaceOf(entry),
    body: specOf(entry),
    labels: { ...entry.metadata.labels, ...labelsOf(specOf(entry)['labels']) },
  };
}

export function workloadEndpoints(workload: Workload, ports: readonly ServicePort[]): MeshEndpoint[] {
  const { body, labels } = workload;
  const address = text(body['address']);
  if (address === undefined) return [];
  const serviceAccount = text(body['serviceAccount']) ?? '';
  const byName = fields(body['ports']);
  return ports.map((port) => ({
    address,
    port: numeric(byName[port.name]) ?? numeric(port.targetPort) ?? port.number,
    servicePort: port.number,
    labels,
    locality: text(body['locality']) ?? labels['istio-locality']?.replaceAll('.', '/') ?? '',
    weight: numeric(body['weight']) || 1,
    serviceAccount,
    namespace: workload.namespace,
    network: text(body['network']) ?? '',
    workloadName: workload.name,
    workloadKind: workload.kind,
    healthy: true,
    mtls: speaksMtls(labels, serviceAccount),
  }));
}

/** The label decides when it is there, else a service account is taken as the sign of a sidecar. */
export function speaksMtls(labels: Record<string, string>, serviceAccount: string): boolean {
  const mode = labels['security.istio.io/tlsMode'];
  return mode === undefined ? serviceAccount !== '' : mode === 'istio';
}
