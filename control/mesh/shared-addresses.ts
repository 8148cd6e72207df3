/** Workloads of several resources at one address, for the warnings of writes: each one's policies hold at its own ports. */
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import type { WorkloadEntrySpec } from '../../shared/resources/schema/common.ts';
import { isKind, namespaceOf, specOf } from './fields.ts';
import { compare } from './sorted-list.ts';

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

/** The workloads of WorkloadEntries and of ServiceEntries of the mesh, by address. Resources of other kinds are not kept. */
export class AddressIndex {
  private readonly byAddress = new Map<string, Map<string, Neighbour>>();
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
      if (!here) this.byAddress.set(address, (here = new Map()));
      if (!here.has(name)) here.set(name, { name, namespace, serviceAccount });
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

  /** Others than `resource` at `address`: WorkloadEntries first, then by namespace and name. */
  others(resource: Resource, address: string): readonly Neighbour[] {
    const own = nameOf(resource);
    const found = [...(this.byAddress.get(address)?.values() ?? [])].filter(({ name }) => name !== own);
    return found.sort((a, b) => compare(b.name[0] ?? '', a.name[0] ?? '') || compare(a.name, b.name));
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
    const neighbours = index.others(resource, place.address);
    if (neighbours.length > 0)
      warnings.push({ path: place.path, message: messageOf(resource, place, neighbours), rule: 'shared-address' });
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

function messageOf(resource: Resource, place: Place, neighbours: readonly Neighbour[]): string {
  const names = neighbours.map(({ name }) => name);
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  const namespace = namespaceOf(resource);
  const foreign = neighbours.some((one) => one.namespace !== namespace);
  const accounts = neighbours.some((one) => one.serviceAccount !== place.serviceAccount);
  return [
    `${place.address} is also an address of ${names.slice(0, NAMED).join(', ')}${more}: policies of each hold at its own ports, of all at ports that several or none serve`,
    ...(foreign ? [`a proxy of ${namespace} neither serves nor guards workloads of other namespaces`] : []),
    ...(accounts ? ['their service accounts differ, and one proxy has one'] : []),
  ].join('; ');
}

const nameOf = (resource: Resource): string => `${resource.kind} ${namespaceOf(resource)}/${resource.metadata.name}`;
