/**
 * The workloads behind one proxy. The registry may know several at its address (two WorkloadEntries of one machine, inline
 * endpoints of two ServiceEntries): each keeps its own labels, and policies are selected for each by itself.
 */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import { selects } from '../../mesh/fields.ts';
import { entryWorkload } from '../../mesh/service-entry.ts';
import { compare } from '../../mesh/sorted-list.ts';
import type { MeshEndpoint, MeshService, MeshView, ServicePort } from '../../mesh/view.ts';
import { generator, labelsFrom, labelsKey, sharedList } from '../memo.ts';

type Labels = Readonly<Record<string, string>>;

/** One workload at the proxy's address. */
export interface LocalWorkload {
  /** `WorkloadEntry shop/orders`, for notes. */
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  /**
   * Its service account is that of the proxy, or it names none. An address is only claimed: a workload of another account is
   * guarded like the others, but its labels give the proxy nothing.
   */
  readonly isOwn: boolean;
  /** The services it is an endpoint of. */
  readonly services: readonly MeshService[];
  /** Its ports that services send to. UDP ports are not listened on and do not count. */
  readonly ports: ReadonlySet<number>;
}

/** A service port that a workload of this proxy serves. */
export interface Instance {
  readonly service: MeshService;
  readonly port: ServicePort;
  readonly endpoint: MeshEndpoint;
  readonly workload: LocalWorkload;
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
  instances: readonly Instance[];
}

/**
 * Workloads and instances of a node's own namespace. As in Istio, a Service or ServiceEntry of another namespace that names
 * the node's address does not change what the node serves or enforces.
 * The same workloads and instances are the same objects from one view to the next.
 */
export function localWorkloads(view: MeshView, node: NodeClaims): LocalWorkloads {
  const found = new Map<string, Draft>();
  const drafts: (Omit<Instance, 'workload'> & { draft: Draft })[] = [];
  for (const { service, endpoint } of endpointsAt(view, node)) {
    if (!isMeant(endpoint, node)) continue;
    const port = service.ports.find((item) => item.number === endpoint.servicePort);
    if (!port) continue;
    const draft = draftOf(found, endpoint, node);
    if (!draft.services.includes(service)) draft.services.push(service);
    if (port.protocol !== 'UDP') draft.ports.add(endpoint.port);
    drafts.push({ service, port, endpoint, draft });
  }
  const served = [...found.values()].some(({ isOwn }) => isOwn);
  for (const ip of new Set(node.ips))
    for (const entry of view.workloadEntriesAt(ip, node.namespace)) addUnserved(found, entry, node);
  const made = new Map([...found.values()].map((draft) => [draft, finished(draft)]));
  const workloads = [...made.values()];
  // Without a service, the labels that the node claims count too, unless an entry has all of them.
  if (!served && !workloads.some(({ isOwn, labels }) => isOwn && selects(node.labels, labels)))
    workloads.push(finished(claimed(node)));
  const instances = drafts.map(({ draft, ...rest }) => instanceOf({ ...rest, workload: made.get(draft)! }));
  return { workloads: sharedList(workloads), instances: sharedList(instances.sort(byAgeOfService)) };
}

/** Endpoints of the node's namespace at its addresses, in the order of the addresses, then of services. */
function endpointsAt(view: MeshView, { ips, namespace }: NodeClaims) {
  return [...new Set(ips)].flatMap((ip) =>
    view
      .servicesAt(ip)
      .flatMap((service) =>
        (service.namespace === namespace ? view.endpoints(service) : [])
          .filter((endpoint) => endpoint.address === ip)
          .map((endpoint) => ({ service, endpoint })),
      ),
  );
}

const instanceOf = generator<Instance, Instance>(
  { endpoint: true, service: true, port: true, workload: true },
  (instance) => instance,
);

/** The workloads that a port belongs to: those that serve it; all of them where none does. */
export function workloadsAt(workloads: readonly LocalWorkload[], port: number): readonly LocalWorkload[] {
  const serving = workloads.filter(({ ports }) => ports.has(port));
  return serving.length === 0 || serving.length === workloads.length ? workloads : serving;
}

/**
 * The labels that the proxy has as a caller, where no port tells which workload calls: those of its only workload. Of
 * several with different labels, what those have in common that have all LABELS of the node; LABELS where none has.
 * Workloads of other service accounts do not count.
 */
export function callerLabels(all: readonly LocalWorkload[], node: NodeClaims): Labels {
  const workloads = all.filter(({ isOwn }) => isOwn);
  const shared = { ...common(workloads), ...node.staticLabels };
  if (workloads.every(({ labels }) => sameLabels(labels, shared)) || isEmpty(node.labels)) return shared;
  const meant = workloads.filter(({ labels }) => selects(node.labels, labels));
  return { ...(meant.length > 0 ? common(meant) : node.labels), ...node.staticLabels };
}

/** Whether a selector of resources that one process can have only once (Gateway, ProxyConfig) picks the proxy. */
export function selectsProxy(
  selector: Labels,
  proxy: { labels: Labels; workloads: readonly Pick<LocalWorkload, 'labels' | 'isOwn'>[] },
): boolean {
  return (
    selects(selector, proxy.labels) || proxy.workloads.some(({ isOwn, labels }) => isOwn && selects(selector, labels))
  );
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

/** A workload while its services and ports are being gathered. */
interface Draft {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly isOwn: boolean;
  readonly services: MeshService[];
  readonly ports: Set<number>;
}

interface Finished {
  readonly services: readonly MeshService[];
  readonly name: string;
  readonly namespace: string;
  readonly labels: string;
  readonly isOwn: boolean;
  readonly ports: string;
}

function finished({ name, namespace, labels, isOwn, services, ports }: Draft): LocalWorkload {
  return workload({
    services: sharedList(services),
    name,
    namespace,
    labels: labelsKey(labels),
    isOwn,
    ports: [...ports].join(),
  });
}

const workload = generator<Finished, LocalWorkload>(
  { services: true, name: true, namespace: true, labels: true, isOwn: true, ports: true },
  ({ services, name, namespace, labels, isOwn, ports }) => ({
    services,
    name,
    namespace,
    labels: labelsFrom(labels),
    isOwn,
    ports: new Set(ports === '' ? [] : ports.split(',').map(Number)),
  }),
);

/** The workload of an endpoint, made when it is new. Other labels or accounts make another workload: they are never joined. */
function draftOf(found: Map<string, Draft>, endpoint: MeshEndpoint, node: NodeClaims): Draft {
  const name = `${endpoint.workloadKind} ${endpoint.namespace}/${endpoint.workloadName}`;
  const labels = { ...ownLabels(endpoint, node), ...node.staticLabels };
  const isOwn = hasAccount(endpoint, node);
  const key = `${name} ${isOwn} ${labelsKey(labels)}`;
  let draft = found.get(key);
  if (!draft) {
    draft = { name, namespace: endpoint.namespace, labels, isOwn, services: [], ports: new Set() };
    found.set(key, draft);
  }
  return draft;
}

/** There is no Pod kind: labels of a Pod that its slice lacks are taken from the LABELS of the Pod's proxy. */
function ownLabels({ workloadKind, labels }: MeshEndpoint, node: NodeClaims): Labels {
  return workloadKind === 'Pod' || workloadKind === 'EndpointSlice' ? { ...node.labels, ...labels } : labels;
}

/** A WorkloadEntry that no service selects: it has no port of its own; its policies hold at ports that no workload serves. */
function addUnserved(found: Map<string, Draft>, entry: ResourceOfKind<'WorkloadEntry'>, node: NodeClaims): void {
  const { body, name, namespace, labels } = entryWorkload(entry);
  const { address = '', serviceAccount = '' } = body;
  if (!isMeant({ address, serviceAccount, labels }, node)) return;
  const title = `WorkloadEntry ${namespace}/${name}`;
  if ([...found.values()].some((draft) => draft.name === title)) return;
  const all = { ...labels, ...node.staticLabels };
  const isOwn = hasAccount({ serviceAccount }, node);
  found.set(title, { name: title, namespace, labels: all, isOwn, services: [], ports: new Set() });
}

function claimed({ namespace, labels, staticLabels }: NodeClaims): Draft {
  const name = 'the node itself';
  return { name, namespace, labels: { ...labels, ...staticLabels }, isOwn: true, services: [], ports: new Set() };
}

/** On loopback many workloads share one address; there the node's own identity and labels tell them apart. */
function isMeant(
  one: Pick<MeshEndpoint, 'address' | 'serviceAccount' | 'labels'>,
  own: Pick<NodeClaims, 'labels' | 'serviceAccount'>,
): boolean {
  if (one.address !== '::1' && !one.address.startsWith('127.')) return true;
  return one.serviceAccount === own.serviceAccount && selects(own.labels, one.labels);
}

function hasAccount({ serviceAccount }: Pick<MeshEndpoint, 'serviceAccount'>, node: NodeClaims): boolean {
  return serviceAccount === '' || serviceAccount === node.serviceAccount;
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
