/** Workloads of several resources at one address, for the warnings of writes: each one's policies hold at its own ports. */
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import { fields, namespaceOf, objects, specOf, text } from './fields.ts';

/** How many neighbours a warning names. */
const NAMED = 3;

interface Place {
  path: string;
  address: string;
  serviceAccount: string;
}

/**
 * A warning for each address of `resource` that one of `others` has too, where one machine serves both; `resource` itself may
 * be among them. WorkloadEntries and the inline endpoints of ServiceEntries of the mesh count. Loopback does not: there the
 * account and labels of a node tell workloads apart.
 */
export function sharedAddressWarnings(resource: Resource, others: readonly Resource[]): Violation[] {
  const warnings: Violation[] = [];
  for (const place of placesOf(resource)) {
    const neighbours = others.flatMap((other) => {
      if (nameOf(other) === nameOf(resource)) return [];
      const there = placesOf(other).find(({ address }) => address === place.address);
      return there ? [{ resource: other, place: there }] : [];
    });
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
  const spec = specOf(resource);
  const at = (path: string, { address, serviceAccount }: Record<string, unknown>): Place[] => {
    const found = text(address);
    if (found === undefined || !isShareable(found)) return [];
    return [{ path, address: found, serviceAccount: text(serviceAccount) ?? '' }];
  };
  if (resource.kind === 'WorkloadEntry') return at('spec.address', spec);
  if (resource.kind !== 'ServiceEntry' || spec['location'] !== 'MESH_INTERNAL') return [];
  return objects(spec['endpoints']).flatMap((endpoint, i) => at(`spec.endpoints[${i}].address`, fields(endpoint)));
}

/** An IP address that is not loopback: proxies are known by such. */
function isShareable(address: string): boolean {
  if (address.startsWith('127.') || address === '::1') return false;
  return /^\d+(\.\d+){3}$/.test(address) || /^[\da-f:.]*:[\da-f:.]*$/i.test(address);
}

function messageOf(resource: Resource, place: Place, neighbours: { resource: Resource; place: Place }[]): string {
  const names = neighbours.map((one) => nameOf(one.resource));
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  const namespace = namespaceOf(resource);
  const foreign = neighbours.some((one) => namespaceOf(one.resource) !== namespace);
  const accounts = neighbours.some((one) => one.place.serviceAccount !== place.serviceAccount);
  return [
    `${place.address} is also an address of ${names.slice(0, NAMED).join(', ')}${more}: policies of each hold at its own ports, of all at ports that several or none serve`,
    ...(foreign ? [`a proxy of ${namespace} neither serves nor guards workloads of other namespaces`] : []),
    ...(accounts ? ['their service accounts differ, and one proxy has one'] : []),
  ].join('; ');
}

const nameOf = (resource: Resource): string => `${resource.kind} ${namespaceOf(resource)}/${resource.metadata.name}`;
