/**
 * The workloads behind one proxy. The registry may know several at its address (two WorkloadEntries of one machine, inline
 * endpoints of two ServiceEntries): each keeps its own labels, and policies are selected for each by itself.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import { compare } from '../mesh/build-view.ts';
import { namespaceOf, selects, specOf, text } from '../mesh/fields.ts';
import { entryWorkload } from '../mesh/service-entry.ts';
import type { MeshEndpoint, MeshService, MeshView, ServicePort } from '../mesh/view.ts';

type Labels = Record<string, string>;

/** One workload at the proxy's address. */
export interface LocalWorkload {
  /** `WorkloadEntry shop/orders`, for notes. */
  name: string;
  namespace: string;
  labels: Labels;
  /** The services it is an endpoint of. */
  services: readonly MeshService[];
  /** Its ports that services send to. UDP ports are not listened on and do not count. */
  ports: ReadonlySet<number>;
}

/** A service port that a workload of this proxy serves. */
export interface Instance {
  service: MeshService;
  port: ServicePort;
  endpoint: MeshEndpoint;
  workload: LocalWorkload;
}

/** What a node says of itself in its metadata. */
export interface NodeClaims {
  ips: readonly string[];
  namespace: string;
  /** LABELS */
  labels: Labels;
  /** STATIC_LABELS: every workload of the node has them. */
  staticLabels: Labels;
  /** '' unknown. */
  serviceAccount: string;
}

export interface LocalWorkloads {
  /** Never empty: a node that the registry does not know is one workload with the labels it claims. */
  workloads: readonly LocalWorkload[];
  /** Oldest service first. */
  instances: Instance[];
}

/**
 * Workloads and instances of a node's own namespace. As in Istio, a Service or ServiceEntry of another namespace that names
 * the node's address does not change what the node serves or enforces.
 */
export function localWorkloads(view: MeshView, node: NodeClaims): LocalWorkloads {
  const found = new Map<string, Writable>();
  const instances: Instance[] = [];
  for (const { service, endpoint } of [...new Set(node.ips)].flatMap((ip) => view.endpointsAt(ip))) {
    if (service.namespace !== node.namespace || !isOwn(endpoint, node)) continue;
    const port = service.ports.find((item) => item.number === endpoint.servicePort);
    if (!port) continue;
    const workload = workloadOf(found, endpoint, node);
    if (!workload.services.includes(service)) workload.services.push(service);
    if (port.protocol !== 'UDP') workload.ports.add(endpoint.port);
    instances.push({ service, port, endpoint, workload });
  }
  const served = found.size > 0;
  for (const entry of view.resources('WorkloadEntry')) addUnserved(found, entry, node);
  const workloads: LocalWorkload[] = [...found.values()];
  // Without a service, the labels that the node claims count too, unless an entry has all of them.
  if (!served && !workloads.some(({ labels }) => selects(node.labels, labels))) workloads.push(claimed(node));
  return { workloads, instances: instances.sort(byAgeOfService) };
}

/** The workloads that a port belongs to: those that serve it; all of them where none does. */
export function workloadsAt(workloads: readonly LocalWorkload[], port: number): readonly LocalWorkload[] {
  const serving = workloads.filter(({ ports }) => ports.has(port));
  return serving.length === 0 || serving.length === workloads.length ? workloads : serving;
}

/**
 * The labels that the proxy has as a caller, where no port tells which workload calls: those of its only workload. Of
 * several with different labels, what those have in common that have all LABELS of the node; LABELS where none has.
 */
export function callerLabels(workloads: readonly LocalWorkload[], node: NodeClaims): Labels {
  const all = { ...common(workloads), ...node.staticLabels };
  if (workloads.every(({ labels }) => sameLabels(labels, all)) || isEmpty(node.labels)) return all;
  const meant = workloads.filter(({ labels }) => selects(node.labels, labels));
  return { ...(meant.length > 0 ? common(meant) : node.labels), ...node.staticLabels };
}

/** Whether a selector of resources that one process can have only once (Gateway, ProxyConfig) picks the proxy. */
export function selectsProxy(
  selector: Labels,
  proxy: { labels: Labels; workloads: readonly Pick<LocalWorkload, 'labels'>[] },
): boolean {
  return selects(selector, proxy.labels) || proxy.workloads.some(({ labels }) => selects(selector, labels));
}

/** Notes workloads with different labels behind one proxy, and the rule that applies. */
export function noteSharedAddress(
  proxy: { ips: readonly string[]; labels: Labels; workloads: readonly LocalWorkload[] },
  note: (message: string) => void,
): void {
  const [first, ...others] = proxy.workloads;
  if (!first || others.every(({ labels }) => sameLabels(labels, first.labels))) return;
  const names = proxy.workloads.map(({ name }) => name).join(', ');
  const caller = Object.entries(proxy.labels).map(([key, value]) => `${key}=${value}`);
  note(
    `${proxy.ips.join(', ')}: shared by ${names}: each one's policies hold at its own ports, those of all at every other port; ` +
      `calls leave with the labels ${caller.length > 0 ? caller.join(',') : '(none)'}`,
  );
}

type Writable = LocalWorkload & { services: MeshService[]; ports: Set<number> };

/** The workload of an endpoint, made when it is new. Other labels make another workload: they are never joined. */
function workloadOf(found: Map<string, Writable>, endpoint: MeshEndpoint, node: NodeClaims): Writable {
  const name = `${endpoint.workloadKind} ${endpoint.namespace}/${endpoint.workloadName}`;
  const labels = { ...ownLabels(endpoint, node), ...node.staticLabels };
  const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
  let workload = found.get(key);
  if (!workload) {
    workload = { name, namespace: endpoint.namespace, labels, services: [], ports: new Set() };
    found.set(key, workload);
  }
  return workload;
}

/** There is no Pod kind: labels of a Pod that its slice lacks are taken from the LABELS of the Pod's proxy. */
function ownLabels({ workloadKind, labels }: MeshEndpoint, node: NodeClaims): Labels {
  return workloadKind === 'Pod' || workloadKind === 'EndpointSlice' ? { ...node.labels, ...labels } : labels;
}

/** A WorkloadEntry that no service selects: it has no port of its own; its policies hold at ports that no workload serves. */
function addUnserved(found: Map<string, Writable>, entry: Resource, node: NodeClaims): void {
  const address = text(specOf(entry)['address']) ?? '';
  if (namespaceOf(entry) !== node.namespace || !node.ips.includes(address)) return;
  const { body, name, namespace, labels } = entryWorkload(entry);
  const serviceAccount = text(body['serviceAccount']) ?? '';
  if (!isOwn({ address, serviceAccount, labels }, node)) return;
  const title = `WorkloadEntry ${namespace}/${name}`;
  if ([...found.values()].some((workload) => workload.name === title)) return;
  const all = { ...labels, ...node.staticLabels };
  found.set(title, { name: title, namespace, labels: all, services: [], ports: new Set() });
}

function claimed({ namespace, labels, staticLabels }: NodeClaims): LocalWorkload {
  const name = 'the node itself';
  return { name, namespace, labels: { ...labels, ...staticLabels }, services: [], ports: new Set() };
}

/** On loopback many workloads share one address; there the node's own identity and labels tell them apart. */
function isOwn(
  one: Pick<MeshEndpoint, 'address' | 'serviceAccount' | 'labels'>,
  own: Pick<NodeClaims, 'labels' | 'serviceAccount'>,
): boolean {
  if (one.address !== '::1' && !one.address.startsWith('127.')) return true;
  return one.serviceAccount === own.serviceAccount && selects(own.labels, one.labels);
}

/** The pairs that all have. */
function common(workloads: readonly LocalWorkload[]): Labels {
  const [first, ...others] = workloads;
  const pairs = Object.entries(first?.labels ?? {});
  return Object.fromEntries(pairs.filter(([key, value]) => others.every(({ labels }) => labels[key] === value)));
}

const isEmpty = (labels: Labels): boolean => Object.keys(labels).length === 0;
const sameLabels = (a: Labels, b: Labels): boolean => selects(a, b) && selects(b, a);

function byAgeOfService(a: Instance, b: Instance): number {
  return (
    compare(a.service.creationTimestamp, b.service.creationTimestamp) || compare(a.service.hostname, b.service.hostname)
  );
}
