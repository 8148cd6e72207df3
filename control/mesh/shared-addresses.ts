/** Workloads of several resources at one address, for the warnings of writes: each one's policies hold at its own ports. */
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import type { WorkloadEntrySpec } from '../../shared/resources/schema/common.ts';
import { isKind, namespaceOf, specOf } from './fields.ts';
import { compare, lowerBound } from './sorted-list.ts';

/** How many neighbours a warning names. */
const NAMED = 3;

interface Place {
  path: string;
  address: string;
  serviceAccount: string;
}

/** A resource with a workload at an address. */
interface Neighbour {
  /** `WorkloadEntry shop/orders` */
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What a warning says of the resources at an address, whose number has no limit. */
interface Others {
  readonly count: number;
  /** The first of them: WorkloadEntries, then by namespace and name. */
  readonly named: readonly string[];
  readonly inOtherNamespaces: boolean;
  readonly withOtherAccounts: boolean;
}

/** The resources at one address, so that what a warning says of them costs the same however many there are. */
class AtAddress {
  /** Sorted. */
  private readonly list: Neighbour[] = [];
  private readonly namespaces = new Map<string, number>();
  private readonly accounts = new Map<string, number>();

  get size(): number {
    return this.list.length;
  }

  add(neighbour: Neighbour): void {
    const at = lowerBound(this.list, neighbour, byName);
    if (this.list[at]?.name === neighbour.name) return;
    this.list.splice(at, 0, neighbour);
    count(this.namespaces, neighbour.namespace, 1);
    count(this.accounts, neighbour.serviceAccount, 1);
  }

  delete(name: string): void {
    const at = lowerBound(this.list, { name }, byName);
    const found = this.list[at];
    if (found?.name !== name) return;
    this.list.splice(at, 1);
    count(this.namespaces, found.namespace, -1);
    count(this.accounts, found.serviceAccount, -1);
  }

  /** All but the resource `own` of `namespace`, which has a workload of `account`. */
  others(own: string, namespace: string, account: string): Others {
    const found = this.list[lowerBound(this.list, { name: own }, byName)];
    const self = found?.name === own ? found : undefined;
    const named = this.list.slice(0, NAMED + 1).filter((one) => one !== self);
    const sameAccount = (this.accounts.get(account) ?? 0) - (self?.serviceAccount === account ? 1 : 0);
    const total = this.list.length - (self ? 1 : 0);
    return {
      count: total,
      named: named.slice(0, NAMED).map(({ name }) => name),
      inOtherNamespaces: [...this.namespaces.keys()].some((each) => each !== namespace),
      withOtherAccounts: total > sameAccount,
    };
  }
}

/** WorkloadEntries before ServiceEntries. */
const byName = (a: Pick<Neighbour, 'name'>, b: Pick<Neighbour, 'name'>): number =>
  compare(b.name[0] ?? '', a.name[0] ?? '') || compare(a.name, b.name);

function count(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next > 0) counts.set(key, next);
  else counts.delete(key);
}

/** The workloads of WorkloadEntries and of ServiceEntries of the mesh, by address. Resources of other kinds are not kept. */
export class AddressIndex {
  private readonly byAddress = new Map<string, AtAddress>();
  /** Name of a resource -> its addresses. */
  private readonly addresses = new Map<string, readonly string[]>();

  /** Takes the resource in the place of an earlier state of it. */
  put(resource: Resource): void {
    this.delete(resource);
    const places = placesOf(resource);
    if (places.length === 0) return;
    const name = nameOf(resource);
    const namespace = namespaceOf(resource);
    this.addresses.set(
      name,
      places.map(({ address }) => address),
    );
    for (const { address, serviceAccount } of places) {
      let here = this.byAddress.get(address);
      if (!here) this.byAddress.set(address, (here = new AtAddress()));
      here.add({ name, namespace, serviceAccount });
    }
  }

  delete(resource: Resource): void {
    const name = nameOf(resource);
    for (const address of this.addresses.get(name) ?? []) {
      const here = this.byAddress.get(address);
      here?.delete(name);
      if (here?.size === 0) this.byAddress.delete(address);
    }
    this.addresses.delete(name);
  }

  /** Others than `resource` at a place of it; undefined: there are none. */
  others(resource: Resource, { address, serviceAccount }: Place): Others | undefined {
    const found = this.byAddress.get(address)?.others(nameOf(resource), namespaceOf(resource), serviceAccount);
    return found && found.count > 0 ? found : undefined;
  }
}

/**
 * A warning for each address of `resource` that another resource in `index` has too, where one machine serves both.
 * WorkloadEntries and the inline endpoints of ServiceEntries of the mesh count. Loopback does not: there the account and
 * labels of a node tell workloads apart.
 */
export function sharedAddressWarnings(resource: Resource, index: AddressIndex): Violation[] {
  const warnings: Violation[] = [];
  for (const place of placesOf(resource)) {
    const others = index.others(resource, place);
    if (others)
      warnings.push({ path: place.path, message: messageOf(resource, place, others), rule: 'shared-address' });
  }
  return warnings;
}

/** Whether `sharedAddressWarnings` could find anything for it. */
export function hasPlaces(resource: Resource): boolean {
  return placesOf(resource).length > 0;
}

function placesOf(resource: Resource): Place[] {
  const at = (path: string, { address, serviceAccount = '' }: WorkloadEntrySpec): Place[] =>
    address !== undefined && isShareable(address) ? [{ path, address, serviceAccount }] : [];
  if (isKind(resource, 'WorkloadEntry')) return at('spec.address', specOf(resource));
  if (!isKind(resource, 'ServiceEntry')) return [];
  const { location, endpoints = [] } = specOf(resource);
  if (location !== 'MESH_INTERNAL') return [];
  return endpoints.flatMap((endpoint, i) => at(`spec.endpoints[${i}].address`, endpoint));
}

/** An IP address that is not loopback: proxies are known by such. */
function isShareable(address: string): boolean {
  if (address.startsWith('127.') || address === '::1') return false;
  return /^\d+(\.\d+){3}$/.test(address) || /^[\da-f:.]*:[\da-f:.]*$/i.test(address);
}

function messageOf(resource: Resource, place: Place, others: Others): string {
  const more = others.count > NAMED ? ` and ${others.count - NAMED} more` : '';
  const namespace = namespaceOf(resource);
  return [
    `${place.address} is also an address of ${others.named.join(', ')}${more}: policies of each hold at its own ports, of all at ports that several or none serve`,
    ...(others.inOtherNamespaces
      ? [`a proxy of ${namespace} neither serves nor guards workloads of other namespaces`]
      : []),
    ...(others.withOtherAccounts ? ['their service accounts differ, and one proxy has one'] : []),
  ].join('; ');
}

const nameOf = (resource: Resource): string => `${resource.kind} ${namespaceOf(resource)}/${resource.metadata.name}`;
