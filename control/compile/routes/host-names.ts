/** The domains of virtual hosts: every name that a client may use for a host. */
import { isIpAddress } from '../../../shared/match/cidr.ts';
import { isKind, specOf } from '../../mesh/fields.ts';
import type { MeshService } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import { bracketed } from '../names.ts';

/** Every name a client may use for a host: the full name, its short forms from the proxy's namespace, the virtual IPs. */
export function domainsOf(hostname: string, service: MeshService | undefined, dnsDomain: string): readonly string[] {
  return service?.hostname === hostname
    ? serviceDomains({ service, dnsDomain })
    : allNames(hostname, service?.addresses ?? [], dnsDomain);
}

export const serviceDomains = generator<{ service: MeshService; dnsDomain: string }, readonly string[]>(
  { service: true, dnsDomain: true },
  ({ service, dnsDomain }) => {
    const names = allNames(service.hostname, service.addresses, dnsDomain);
    const pods = isHeadless(service) ? names.map((name) => `*.${name}`) : [];
    return [...new Set([...names, ...pods, ...aliasNames(service, dnsDomain)])];
  },
);

/** Every name a client may use for one of the aliases of a service. */
export const aliasNames = ({ aliases = [] }: MeshService, dnsDomain: string): readonly string[] =>
  aliases.flatMap((alias) => allNames(alias, [], dnsDomain));

/** Each Pod of a headless Service has a name below it (StatefulSets). */
function isHeadless({ resource }: MeshService): boolean {
  return isKind(resource, 'Service') && specOf(resource).clusterIP === 'None';
}

function allNames(hostname: string, addresses: readonly string[], dnsDomain: string): string[] {
  if (isIpAddress(hostname)) return [...new Set([hostname, ...addresses].map(bracketed))];
  const domains = [hostname];
  if (hostname !== '*') domains.push(`${hostname}.`);
  if (!hostname.startsWith('*')) domains.push(...shortNames(hostname, dnsDomain));
  for (const address of addresses) if (!address.includes('/')) domains.push(bracketed(address));
  return [...new Set(domains)];
}

/**
 * Search paths: `web.shop.svc.cluster.local` from namespace `shop` of Kubernetes is also `web`, `web.shop.svc`, `web.shop`.
 * Elsewhere what precedes the part that both domains end in, and with two labels also the first label of that part.
 */
function shortNames(hostname: string, dnsDomain: string): string[] {
  const own = dnsDomain.split('.');
  const svc = own.indexOf('svc');
  if (svc < 1) return namesBeforeSharedDomain(hostname.split('.'), own);
  const suffix = own.slice(svc).join('.');
  if (!hostname.endsWith(`.${suffix}`)) return [];
  const rest = hostname.slice(0, -suffix.length - 1).split('.');
  if (rest.length < 2) return [];
  const [name, namespace] = [rest.slice(0, -1).join('.'), rest[rest.length - 1]];
  const qualified = [`${name}.${namespace}.svc`, `${name}.${namespace}`];
  return namespace === own.slice(0, svc).join('.') ? [name, ...qualified] : qualified;
}

function namesBeforeSharedDomain(host: readonly string[], own: readonly string[]): string[] {
  let shared = 0;
  while (shared < host.length - 1 && host.at(-1 - shared) === own.at(-1 - shared)) shared += 1;
  if (shared === 0) return [];
  const unique = host.slice(0, host.length - shared);
  const short = unique.join('.');
  return unique.length === 2 ? [short, `${short}.${host.at(-shared)}`] : [short];
}
