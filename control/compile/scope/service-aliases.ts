/**
 * Services of type ExternalName are further host names of the service that they name, as istiod resolves them. One whose name no
 * service has stays a service of its own, which looks the name up.
 */
import type { MeshService } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';

/** The services without those that are aliases of another one, which has their host names. In the order of `services`. */
export const withAliases = generator<{ services: readonly MeshService[] }, readonly MeshService[]>(
  { services: true },
  ({ services }) => {
    const targets = aliasTargets(services);
    if (targets.size === 0) return services;
    const aliases = Map.groupBy(targets.keys(), (alias) => targets.get(alias)!);
    return sharedList(
      services.flatMap((service) => {
        if (service.aliasOf !== undefined && targets.has(service.hostname)) return [];
        return aliased({ service, hosts: (aliases.get(service.hostname) ?? []).sort().join() });
      }),
    );
  },
);

/** Alias -> the host name of the service that it leads to, by way of further aliases or at once. */
export function aliasTargets(services: readonly MeshService[]): ReadonlyMap<string, string> {
  const next = new Map<string, string>();
  for (const { hostname, aliasOf } of services) if (aliasOf !== undefined) next.set(hostname, aliasOf);
  if (next.size === 0) return next;
  const concrete = new Set(services.flatMap(({ hostname, aliasOf }) => (aliasOf === undefined ? [hostname] : [])));
  const ends = new Map<string, string | undefined>();
  for (const alias of next.keys()) followTo(alias, next, ends);
  return new Map([...ends].flatMap(([alias, end]) => (end !== undefined && concrete.has(end) ? [[alias, end]] : [])));
}

/** Notes where `alias` and those behind it end; undefined where they lead back to one of them. Each is followed once. */
function followTo(alias: string, next: ReadonlyMap<string, string>, ends: Map<string, string | undefined>): void {
  const path = new Set<string>();
  let host = alias;
  for (let to = next.get(host); to !== undefined && !path.has(host) && !ends.has(host); to = next.get(host)) {
    path.add(host);
    host = to;
  }
  const end = ends.has(host) ? ends.get(host) : path.has(host) ? undefined : host;
  for (const passed of path) ends.set(passed, end);
}

/** A service with those of its aliases that `imports` takes in. */
export function importedAliases(
  service: MeshService,
  imports: (namespace: string, hostname: string) => boolean,
): MeshService {
  const { aliases = [], namespace } = service;
  const hosts = aliases.filter((alias) => imports(namespace, alias));
  return hosts.length === aliases.length ? service : aliased({ service, hosts: hosts.join() });
}

/** @param hosts host names, with commas between them; '': none */
const aliased = generator<{ service: MeshService; hosts: string }, MeshService>(
  { service: true, hosts: true },
  ({ service, hosts }) => {
    const { aliases: before = [], ...rest } = service;
    if (before.join() === hosts) return service;
    return { ...rest, ...(hosts !== '' && { aliases: hosts.split(',') }), whole: service.whole ?? service };
  },
);

/** The aliases of all services of a list. */
export const aliasHosts = generator<{ list: readonly MeshService[] }, ReadonlySet<string>>(
  { list: true },
  ({ list }) => new Set(list.flatMap(({ aliases = [] }) => aliases)),
);
