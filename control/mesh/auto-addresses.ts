/**
 * Automatic addresses of ServiceEntries (Istio's controllers/ipallocate): of each host one of 240.240.0.0/16 and one of
 * 2001:2::/48, kept in `status.addresses`. Proxies with DNS capture answer look-ups of the host with them, so that services
 * without addresses are distinguished by address.
 */
import { isIpAddress } from '../../shared/match/cidr.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { fields, objects, specOf, text } from './fields.ts';

type ServiceEntry = ResourceOfKind<'ServiceEntry'>;

/** Label of a ServiceEntry: `false` for no automatic addresses. */
const SWITCH = 'networking.istio.io/enable-autoallocate-ip';

/** One item of `status.addresses`. */
export interface HostAddress {
  readonly host: string;
  readonly value: string;
}

/** The hosts that are to have addresses; none where the entry has its own, opts out, or passes connections on as they are. */
export function hostsWithAutoAddresses(entry: ServiceEntry): readonly string[] {
  const { hosts = [], addresses = [], resolution = 'NONE' } = specOf(entry);
  if (entry.metadata.labels?.[SWITCH]?.toLowerCase() === 'false') return [];
  // Without endpoints, nothing says where a connection to such an address should go.
  if (addresses.length > 0 || resolution === 'NONE') return [];
  return [...new Set(hosts)].filter((host) => !host.startsWith('*'));
}

/** The addresses that a resource has in its status. */
export function statusAddresses({ status }: Pick<Resource, 'status'>): readonly HostAddress[] {
  return objects(fields(status)['addresses']).flatMap((item) => {
    const [host, value] = [text(item['host']), text(item['value'])];
    return host !== undefined && value !== undefined && isIpAddress(value) ? [{ host, value }] : [];
  });
}

/** By host. */
export function autoAddresses(entry: ServiceEntry): ReadonlyMap<string, readonly string[]> {
  const wanted = new Set(hostsWithAutoAddresses(entry));
  const given = wanted.size === 0 ? [] : statusAddresses(entry).filter(({ host }) => wanted.has(host));
  return new Map(
    [...Map.groupBy(given, ({ host }) => host)].map(([host, items]) => [host, items.map(({ value }) => value)]),
  );
}
