/** ServiceEntry and WorkloadEntry -> services and endpoints. Source: istio.io/latest/docs/reference/config/networking/service-entry */
import type { Resource } from '../../shared/resources/resource.ts';
import { exportToOf } from './export-to.ts';
import { type Fields, fields, labelsOf, namespaceOf, numeric, objects, specOf, strings, text } from './fields.ts';
import { protocolOf } from './protocol.ts';
import type { MeshEndpoint, MeshService, ServicePort } from './view.ts';
import { type Labels, workloadLabels } from './workload-index.ts';

/** One service of one resource: the service, and the source of its endpoints. */
export interface ServiceDefinition {
  readonly service: MeshService;
  readonly namespace: string;
  /** Labels of the WorkloadEntries behind it; empty: it selects none. */
  readonly selector: Labels;
  /** Endpoints that the resource itself names. */
  readonly endpoints: readonly MeshEndpoint[];
  /** A Kubernetes Service takes the endpoints of its EndpointSlices, with this service account. */
  readonly slices?: { readonly serviceName: string; readonly account: string };
}

/** One workload as a WorkloadEntry, or an inline endpoint, describes it. */
interface Workload {
  kind: 'WorkloadEntry' | 'ServiceEntry' | 'Service';
  name: string;
  namespace: string;
  body: Fields;
  labels: Labels;
}

/**
 * One definition a host.
 * @param meshExportTo MeshConfig.defaultServiceExportTo
 */
export function serviceEntryDefinitions(
  entry: Resource,
  meshExportTo: readonly string[] | undefined,
): ServiceDefinition[] {
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
    const selected = spec['workloadSelector'] !== undefined;
    const inline = selected ? [] : inlineWorkloads(entry, hostname);
    return {
      service,
      namespace,
      selector: labelsOf(fields(spec['workloadSelector'])['labels']),
      endpoints: inline.flatMap((workload) => workloadEndpoints(workload, ports)),
    };
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

function inlineWorkloads(entry: Resource, hostname: string): Workload[] {
  const spec = specOf(entry);
  const namespace = namespaceOf(entry);
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

/** `spec.labels` over `metadata.labels`. */
export function entryWorkload(entry: Resource): Workload {
  return {
    kind: 'WorkloadEntry',
    name: entry.metadata.name,
    namespace: namespaceOf(entry),
    body: specOf(entry),
    labels: workloadLabels(entry),
  };
}

const entryEndpoints = new WeakMap<Resource, WeakMap<readonly ServicePort[], readonly MeshEndpoint[]>>();

/** The endpoints of a WorkloadEntry at a service's ports; the same objects for the same entry and ports. */
export function workloadEntryEndpoints(entry: Resource, ports: readonly ServicePort[]): readonly MeshEndpoint[] {
  let byPorts = entryEndpoints.get(entry);
  if (!byPorts) entryEndpoints.set(entry, (byPorts = new WeakMap()));
  let known = byPorts.get(ports);
  if (!known) {
    byPorts.set(ports, (known = workloadEndpoints(entryWorkload(entry), ports)));
  }
  return known;
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
export function speaksMtls(labels: Labels, serviceAccount: string): boolean {
  const mode = labels['security.istio.io/tlsMode'];
  return mode === undefined ? serviceAccount !== '' : mode === 'istio';
}
