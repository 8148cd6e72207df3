/**
 * Which of the sessions that fetch hosts on demand a change of the mesh concerns most likely. It decides who is brought up to
 * date first, and nothing else: every session is looked at.
 */
import { outboundCluster } from '../compile/names.ts';
import { namespaceOf, specOf, strings } from '../mesh/fields.ts';
import { resolveHost } from '../mesh/routes/names.ts';
import { compare, lowerBound } from '../mesh/sorted-list.ts';
import type { MeshChange, MeshService, MeshView } from '../mesh/view.ts';
import type { Session } from './session.ts';

/** Of a change of more hosts than this no session is more concerned than others. */
const MAX_HOSTS = 20;

/** Names of the virtual hosts and clusters of the hosts that a change is about; undefined: it is about others, or too many. */
export function namesConcerned(change: MeshChange, view: MeshView): readonly string[] | undefined {
  const hosts = hostsOf(change, view);
  if (hosts.size === 0 || hosts.size > MAX_HOSTS) return undefined;
  return [...hosts].flatMap((host) => portsOf(host, view.services).flatMap((port) => namesOf(host, port)));
}

export function isConcerned({ subscriptions: { virtualHosts, clusters } }: Session, names: readonly string[]): boolean {
  return names.some((name) => virtualHosts.named.has(name) || clusters.named.has(name));
}

function hostsOf({ services, endpoints, written, deleted }: MeshChange, view: MeshView): Set<string> {
  const hosts = new Set<string>();
  for (const key of [...services, ...endpoints]) hosts.add(key.slice(key.indexOf('/') + 1));
  for (const resource of [...written, ...deleted]) {
    const { hosts: several, host } = specOf(resource) as { hosts?: unknown; host?: unknown };
    if (resource.kind !== 'VirtualService' && resource.kind !== 'DestinationRule') continue;
    for (const name of [...strings(several), ...strings([host])])
      hosts.add(resolveHost(name, namespaceOf(resource), view.settings.domainSuffix));
  }
  return hosts;
}

/** @param services sorted by hostname */
function portsOf(host: string, services: readonly MeshService[]): number[] {
  const ports = new Set<number>();
  const first = lowerBound(services, { hostname: host } as MeshService, (a, b) => compare(a.hostname, b.hostname));
  for (let at = first; services[at]?.hostname === host; at++)
    for (const { number } of services[at]!.ports) ports.add(number);
  return [...ports];
}

/** As compile names them, with and without the HTTP proxy of the node. */
const namesOf = (host: string, port: number): string[] => [
  `${port}/${host}:${port}`,
  `http_proxy/${host}:${port}`,
  outboundCluster(port, undefined, host),
];
