/** ServiceEntry and WorkloadEntry -> services and endpoints. Source: istio.io/latest/docs/reference/config/networking/service-entry */

import { parseProtocol } from '../../shared/match/protocol.ts';
import { isUnixAddress } from '../../shared/match/unix-address.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { WorkloadEntrySpec } from '../../shared/resources/schema/common.ts';
import type { ServiceEntryPort } from '../../shared/resources/schema/service-entry.ts';
import { autoAddresses } from './auto-addresses.ts';
import { exportToOf, ownNamespaceOnly } from './export-to.ts';
import { namespaceOf, numeric, specOf } from './fields.ts';
import type { MeshEndpoint, MeshService, ServicePort } from './view.ts';
import { isUnhealthy } from './workload/workload-health.ts';
import { type Labels, workloadLabels } from './workload-index.ts';

type ServiceEntry = ResourceOfKind<'ServiceEntry'>;
type WorkloadEntry = ResourceOfKind<'WorkloadEntry'>;

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
  body: WorkloadEntrySpec;
  labels: Labels;
}

/**
 * One definition a host.
 * @param meshExportTo MeshConfig.defaultServiceExportTo
 */
export function serviceEntryDefinitions(
  entry: ServiceEntry,
  meshExportTo: readonly string[] | undefined,
): ServiceDefinition[] {
  const { hosts = [], addresses = [], subjectAltNames = [], workloadSelector, ...spec } = specOf(entry);
  const namespace = namespaceOf(entry);
  const ports = (spec.ports ?? []).map(servicePort);
  const automatic = autoAddresses(entry);
  const asked = exportToOf(spec.exportTo ?? [], meshExportTo);
  const exportTo = namesSocket(entry) ? ownNamespaceOnly(asked, namespace) : asked;
  return hosts.map((hostname) => {
    const service: MeshService = {
      hostname,
      namespace,
      name: hostname,
      ports,
      addresses,
      ...(automatic.has(hostname) && { autoAddresses: automatic.get(hostname)! }),
      resolution: spec.resolution ?? 'NONE',
      external: spec.location !== 'MESH_INTERNAL',
      exportTo,
      subjectAltNames,
      labels: entry.metadata.labels ?? {},
      creationTimestamp: entry.metadata.creationTimestamp ?? '',
      resource: entry,
    };
    const inline = workloadSelector ? [] : inlineWorkloads(entry, hostname);
    return {
      service,
      namespace,
      selector: workloadSelector?.labels ?? {},
      endpoints: inline.flatMap((workload) => workloadEndpoints(workload, ports)),
    };
  });
}

/**
 * A Unix domain socket is a file of the machine of each proxy that calls it: those of other namespaces must not be led to
 * sockets of their machines, as that of a container runtime.
 */
function namesSocket(entry: ServiceEntry): boolean {
  const { workloadSelector, endpoints = [] } = specOf(entry);
  return !workloadSelector && endpoints.some(({ address = '' }) => isUnixAddress(address));
}

/** Whether endpoints of WorkloadEntries belong to a service: sockets, where only proxies of its namespace call it. */
export function takesEntry(service: Pick<MeshService, 'exportTo' | 'namespace'>, entry: WorkloadEntry): boolean {
  const { exportTo, namespace } = service;
  const isOwn = (item: string) => item === '.' || item === '~' || item === namespace;
  return !isUnixAddress(specOf(entry).address ?? '') || exportTo.every(isOwn);
}

function servicePort({ number, name, targetPort, ...port }: ServiceEntryPort): ServicePort {
  const protocol = parseProtocol(port.protocol ?? '');
  return targetPort ? { number, name, protocol, targetPort } : { number, name, protocol };
}

function inlineWorkloads(entry: ServiceEntry, hostname: string): Workload[] {
  const { endpoints: inline = [], resolution } = specOf(entry);
  const namespace = namespaceOf(entry);
  const { name } = entry.metadata;
  // A DNS service without endpoints resolves its own host.
  if (inline.length === 0 && (resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN'))
    return [{ kind: 'ServiceEntry', name, namespace, body: { address: hostname }, labels: {} }];
  return inline.map((body, index) => ({
    kind: 'ServiceEntry',
    name: `${name}-${index}`,
    namespace,
    body,
    labels: body.labels ?? {},
  }));
}

/** `spec.labels` over `metadata.labels`. */
export function entryWorkload(entry: WorkloadEntry): Workload {
  return {
    kind: 'WorkloadEntry',
    name: entry.metadata.name,
    namespace: namespaceOf(entry),
    body: specOf(entry),
    labels: workloadLabels(entry),
  };
}

const entryEndpoints = new WeakMap<WorkloadEntry, WeakMap<readonly ServicePort[], readonly MeshEndpoint[]>>();

/** The endpoints of a WorkloadEntry at a service's ports; the same objects for the same entry and ports. */
export function workloadEntryEndpoints(entry: WorkloadEntry, ports: readonly ServicePort[]): readonly MeshEndpoint[] {
  let byPorts = entryEndpoints.get(entry);
  if (!byPorts) entryEndpoints.set(entry, (byPorts = new WeakMap()));
  let known = byPorts.get(ports);
  if (!known) {
    const healthy = !isUnhealthy(entry);
    byPorts.set(ports, (known = workloadEndpoints(entryWorkload(entry), ports, healthy)));
  }
  return known;
}

export function workloadEndpoints(workload: Workload, ports: readonly ServicePort[], healthy = true): MeshEndpoint[] {
  const { body, labels } = workload;
  const { address, serviceAccount = '', ports: byName = {} } = body;
  if (!address) return [];
  return ports.map((port) => ({
    address,
    port: (Object.hasOwn(byName, port.name) ? byName[port.name] : undefined) ?? numeric(port.targetPort) ?? port.number,
    servicePort: port.number,
    labels,
    locality: body.locality || labels['istio-locality']?.replaceAll('.', '/') || '',
    weight: body.weight || 1,
    serviceAccount,
    namespace: workload.namespace,
    network: body.network ?? '',
    workloadName: workload.name,
    workloadKind: workload.kind,
    healthy,
    mtls: speaksMtls(labels, serviceAccount),
  }));
}

/** The label decides when it is there, else a service account is taken as the sign of a sidecar. */
export function speaksMtls(labels: Labels, serviceAccount: string): boolean {
  const mode = labels['security.istio.io/tlsMode'];
  return mode === undefined ? serviceAccount !== '' : mode === 'istio';
}
