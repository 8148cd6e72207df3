/** Services and their endpoints, kept between writes: a write touches the services that it concerns. */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { BucketMap, Edits } from './bucket-map.ts';
import { isKind, namespaceOf, specOf } from './fields.ts';
import { kubernetesDefinition, sliceEndpoints, sliceOwner } from './kubernetes-service.ts';
import { byAge } from './order.ts';
import {
  type ServiceDefinition,
  serviceEntryDefinitions,
  takesEntry,
  workloadEntryEndpoints,
} from './service-entry.ts';
import { compare, keepIdentity, replaced } from './sorted-list.ts';
import type { MeshEndpoint, MeshService, MeshSettings, MeshView } from './view.ts';
import { SelectorIndex, WorkloadIndex } from './workload-index.ts';

type WorkloadEntry = ResourceOfKind<'WorkloadEntry'>;
type EndpointSlice = ResourceOfKind<'EndpointSlice'>;

/** All definitions of one host in one namespace, and what they come to. */
interface Entry {
  /** Kubernetes Services first, then by age. */
  definitions: readonly ServiceDefinition[];
  service: MeshService | undefined;
  endpoints: readonly MeshEndpoint[];
}

export interface ServiceChanges {
  /** `namespace/hostname` */
  services: Set<string>;
  endpoints: Set<string>;
  /** Services, still the same objects, whose endpoints changed, or others at the addresses of their endpoints. */
  endpointsOf: MeshService[];
}

type Lookups = Pick<MeshView, 'services' | 'service' | 'endpoints' | 'servicesAt' | 'workloadEntriesAt'>;
const NO_ENDPOINTS: readonly MeshEndpoint[] = [];
const NO_DEFINITIONS: readonly ServiceDefinition[] = [];

export class ServiceIndex {
  private readonly settings: Pick<MeshSettings, 'domainSuffix' | 'config'>;
  private readonly entries = new Map<string, Entry>();
  private readonly definitionsOf = new WeakMap<Resource, readonly ServiceDefinition[]>();
  private readonly workloads = new WorkloadIndex();
  private readonly selectors = new SelectorIndex<ServiceDefinition>();
  /** `namespace/name` of a Service -> its EndpointSlices, oldest first. */
  private readonly slices = new Map<string, readonly EndpointSlice[]>();
  // Handed to views, hence replaced and never changed.
  private services: readonly MeshService[] = [];
  private byKey: ReadonlyMap<string, MeshService> = new Map();
  private endpoints: ReadonlyMap<MeshService, readonly MeshEndpoint[]> = new Map();
  /** By address. */
  private addresses = new BucketMap<MeshService>(byHost);
  /** By `placeKey`. */
  private entriesAt = new BucketMap<WorkloadEntry>(byAge);

  /** @param settings those that services follow; with others, another index is needed */
  constructor(settings: Pick<MeshSettings, 'domainSuffix' | 'config'>) {
    this.settings = settings;
  }

  snapshot(): Lookups {
    const { services, byKey, endpoints, addresses, entriesAt } = this;
    return {
      services,
      service: (hostname, namespace) => byKey.get(`${namespace}/${hostname}`),
      endpoints: (service) => endpoints.get(service) ?? NO_ENDPOINTS,
      servicesAt: (address) => addresses.at(address),
      workloadEntriesAt: (address, namespace) => entriesAt.at(placeKey(address, namespace)),
    };
  }

  apply(removed: readonly Resource[], added: readonly Resource[]): ServiceChanges {
    const defined = new Set<string>();
    const moved = new Set<string>();
    const entries = new Edits<WorkloadEntry>();
    for (const resource of removed) {
      this.take(resource, false, defined, moved);
      if (isKind(resource, 'WorkloadEntry')) entries.at(entryPlace(resource)).gone.add(resource);
    }
    for (const resource of added) {
      this.take(resource, true, defined, moved);
      if (isKind(resource, 'WorkloadEntry')) entries.at(entryPlace(resource)).come.push(resource);
    }
    if (entries.lists.size > 0) this.entriesAt = this.entriesAt.edited(entries);
    return this.settle(defined, moved);
  }

  /** Files one resource under what finds it, and notes which services must be looked at. */
  private take(resource: Resource, add: boolean, defined: Set<string>, moved: Set<string>): void {
    for (const definition of this.definitions(resource)) this.define(definition, add, defined);
    if (isKind(resource, 'WorkloadEntry')) {
      if (add) this.workloads.add(resource);
      else this.workloads.remove(resource);
      // Selectors of Services that come later in the same step find the entry when they are settled.
      for (const definition of this.selectors.selecting(resource)) moved.add(keyOf(definition.service));
    }
    if (isKind(resource, 'EndpointSlice')) {
      const owner = sliceOwner(resource);
      if (owner === undefined) return;
      this.file(owner, resource, add);
      const [namespace = '', name = ''] = owner.split('/');
      moved.add(`${namespace}/${name}.${namespace}.svc.${this.settings.domainSuffix}`);
    }
  }

  private definitions(resource: Resource): readonly ServiceDefinition[] {
    let known = this.definitionsOf.get(resource);
    if (!known) this.definitionsOf.set(resource, (known = this.defined(resource)));
    return known;
  }

  private defined(resource: Resource): readonly ServiceDefinition[] {
    if (isKind(resource, 'Service')) return [kubernetesDefinition(resource, this.settings)];
    if (!isKind(resource, 'ServiceEntry')) return NO_DEFINITIONS;
    return serviceEntryDefinitions(resource, this.settings.config.defaultServiceExportTo);
  }

  private define(definition: ServiceDefinition, add: boolean, defined: Set<string>): void {
    const key = keyOf(definition.service);
    const entry = this.entries.get(key) ?? { definitions: [], service: undefined, endpoints: NO_ENDPOINTS };
    entry.definitions = add
      ? replaced(entry.definitions, new Set(), [definition], byPrecedence)
      : entry.definitions.filter((item) => item !== definition);
    this.entries.set(key, entry);
    if (add) this.selectors.add(definition);
    else this.selectors.remove(definition);
    defined.add(key);
  }

  private file(owner: string, slice: EndpointSlice, add: boolean): void {
    const before = this.slices.get(owner) ?? [];
    const after = replaced(before, new Set(add ? [] : [slice]), add ? [slice] : [], byAge);
    if (after.length > 0) this.slices.set(owner, after);
    else this.slices.delete(owner);
  }

  /** Recomputes the services in `defined` and the endpoints of both, and publishes what changed. */
  private settle(defined: ReadonlySet<string>, moved: ReadonlySet<string>): ServiceChanges {
    const changes: ServiceChanges = { services: new Set(defined), endpoints: new Set(), endpointsOf: [] };
    const gone = new Set<MeshService>();
    const come: MeshService[] = [];
    const edits = new Edits<MeshService>();
    /** Where endpoints came, went or changed. */
    const places = new Set<string>();
    const still = new Set<MeshService>();
    let touched = false;
    const endpoints = new Map(this.endpoints);
    for (const key of new Set([...defined, ...moved])) {
      const entry = this.entries.get(key);
      if (!entry) continue;
      const { service: before, endpoints: had } = entry;
      if (defined.has(key)) {
        entry.service = mergedService(entry.definitions);
        if (before) gone.add(before);
        if (entry.service) come.push(entry.service);
        else this.entries.delete(key);
      }
      entry.endpoints = keepIdentity(had, this.endpointsOfEntry(entry));
      if (before === entry.service && had === entry.endpoints) continue;
      if (had !== entry.endpoints) {
        changes.endpoints.add(key);
        if (before && before === entry.service) still.add(before);
      }
      if (before) endpoints.delete(before);
      if (entry.service) endpoints.set(entry.service, entry.endpoints);
      for (const address of moveTo(edits, before, had, entry.service, entry.endpoints)) places.add(address);
      touched = true;
    }
    if (defined.size > 0) this.publishServices(gone, come);
    if (touched) this.endpoints = endpoints;
    const addresses = edits.lists.size > 0 ? this.addresses.edited(edits) : this.addresses;
    const fresh = new Set(come);
    // A service that left the place has other endpoints itself.
    for (const place of places)
      for (const neighbour of addresses.at(place))
        if (!gone.has(neighbour) && !fresh.has(neighbour)) still.add(neighbour);
    this.addresses = addresses;
    changes.endpointsOf.push(...still);
    return changes;
  }

  private endpointsOfEntry(entry: Entry): readonly MeshEndpoint[] {
    const [first, ...others] = entry.definitions;
    if (!first) return NO_ENDPOINTS;
    const own = this.endpointsOfDefinition(first);
    return others.length === 0 ? own : [own, ...others.map((item) => this.endpointsOfDefinition(item))].flat();
  }

  private endpointsOfDefinition(definition: ServiceDefinition): readonly MeshEndpoint[] {
    const { namespace, selector, service, slices, endpoints } = definition;
    const found: MeshEndpoint[] = [];
    if (slices)
      for (const slice of this.slices.get(`${namespace}/${slices.serviceName}`) ?? [])
        for (const endpoint of sliceEndpoints(slice, definition)) found.push(endpoint);
    for (const workload of this.workloads.selected(namespace, selector).filter((one) => takesEntry(service, one)))
      for (const endpoint of workloadEntryEndpoints(workload, service.ports)) found.push(endpoint);
    return found.length === 0 ? endpoints : [...found, ...endpoints];
  }

  private publishServices(gone: ReadonlySet<MeshService>, come: readonly MeshService[]): void {
    this.services = replaced(this.services, gone, come, byHost);
    const byKey = new Map(this.byKey);
    for (const service of gone) byKey.delete(keyOf(service));
    for (const service of come) byKey.set(keyOf(service), service);
    this.byKey = byKey;
  }
}

const placeKey = (address: string, namespace: string): string => `${namespace}\n${address}`;
const entryPlace = (entry: WorkloadEntry): string => placeKey(specOf(entry).address ?? '', namespaceOf(entry));

/**
 * Files a service under the addresses of its endpoints.
 * @returns where endpoints came, went or changed
 */
function moveTo(
  edits: Edits<MeshService>,
  before: MeshService | undefined,
  had: readonly MeshEndpoint[],
  after: MeshService | undefined,
  has: readonly MeshEndpoint[],
): ReadonlySet<string> {
  const [old, now] = before === after ? differing(had, has) : [had, has];
  const left = addressesOf(old);
  const taken = addressesOf(now);
  const places = new Set([...left, ...taken]);
  if (before === after) {
    // Of several endpoints at one address some may stay.
    for (const { address } of has) left.delete(address);
    for (const { address } of had) taken.delete(address);
  }
  if (before) for (const address of left) edits.at(address).gone.add(before);
  if (after) for (const address of taken) edits.at(address).come.push(after);
  return places;
}

const addressesOf = (endpoints: readonly MeshEndpoint[]) => new Set(endpoints.map(({ address }) => address));

/** Both lists without what they begin and end with alike: one write of many changes few of them. */
function differing<T>(one: readonly T[], other: readonly T[]): [readonly T[], readonly T[]] {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  return [one.slice(start, one.length - end), other.slice(start, other.length - end)];
}

const keyOf = ({ namespace, hostname }: MeshService): string => `${namespace}/${hostname}`;
const byHost = (a: MeshService, b: MeshService): number =>
  compare(a.hostname, b.hostname) || compare(a.namespace, b.namespace);

/** Of several definitions of one host in one namespace a Kubernetes Service comes first, then the older one. */
function byPrecedence(a: ServiceDefinition, b: ServiceDefinition): number {
  const rank = ({ service }: ServiceDefinition) => (service.resource.kind === 'Service' ? 0 : 1);
  return rank(a) - rank(b) || byAge(a.service.resource, b.service.resource);
}

/** The first definition's settings, all definitions' ports. */
function mergedService(definitions: readonly ServiceDefinition[]): MeshService | undefined {
  const [first, ...others] = definitions;
  if (!first || others.length === 0) return first?.service;
  const ports = [...first.service.ports];
  for (const { service } of others)
    for (const port of service.ports) if (!ports.some((item) => item.number === port.number)) ports.push(port);
  return { ...first.service, ports };
}
