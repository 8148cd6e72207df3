/** The services that groups of outbound listeners take in, and those that their routes lead to. */
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, ServicePort } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { type EgressGroup, servesAllPorts } from './egress.ts';
import { importedAliases } from './service-aliases.ts';

interface ImportedInput {
  /** Those that are exported to the namespace. */
  readonly services: readonly MeshService[];
  readonly group: EgressGroup;
  readonly namespace: string;
}

/** The services of a group as they are called there, in the order of the view. */
export const imported = generator<ImportedInput, readonly MeshService[]>(
  { services: true, group: true, namespace: true },
  (input) => {
    const { port, imports } = input.group;
    const list = sharedList(importedWhole(input).map((service) => importedAliases(service, imports.service)));
    if (!port || servesAllPorts(input.group)) return list;
    const { number, protocol } = port;
    return sharedList(list.map((service) => calledAt({ service, number, protocol })));
  },
);

/** One service a host name: the proxy's own namespace's, else a Kubernetes Service, else the first namespace's. */
const importedWhole = generator<ImportedInput, readonly MeshService[]>(
  { services: true, group: true, namespace: true },
  ({ services, group, namespace }) => {
    const chosen = new Map<string, MeshService>();
    const rank = (service: MeshService) =>
      service.namespace === namespace ? 0 : service.resource.kind === 'Service' ? 1 : 2;
    const number = servesAllPorts(group) ? undefined : group.port?.number;
    for (const service of services) {
      if (!group.imports.service(service.namespace, service.hostname)) continue;
      // As istiod: a listener with a port has the services with that port.
      if (number !== undefined && !service.ports.some((port) => port.number === number)) continue;
      const first = chosen.get(service.hostname);
      if (!first || rank(service) < rank(first)) chosen.set(service.hostname, service);
    }
    return sharedList([...chosen.values()]);
  },
);

/** A service with one of its ports, as a listener of `protocol` calls it. */
const calledAt = generator<{ service: MeshService; number: number; protocol: ServicePort['protocol'] }, MeshService>(
  { service: true, number: true, protocol: true },
  ({ service, number, protocol }) => ({
    ...service,
    ports: service.ports.filter((port) => port.number === number).map((port) => ({ ...port, protocol })),
    whole: service.whole ?? service,
  }),
);

interface ReachableInput {
  readonly exported: readonly MeshService[];
  readonly groups: readonly EgressGroup[];
  /** Those that apply to any of the groups. */
  readonly forms: readonly RouteForm[];
  readonly namespace: string;
  /** The host that takes what goes to unknown destinations; '' none. */
  readonly egressProxy: string;
}

/** What has clusters: what the groups take in with the ports they call, and what routes lead to. In the order of the view. */
export const reachableServices = generator<ReachableInput, readonly MeshService[]>(
  { exported: true, groups: true, forms: true, namespace: true, egressProxy: true },
  ({ exported, groups, forms, namespace, egressProxy }) => {
    const found = new Map<string, Reached>();
    for (const group of groups) {
      const number = servesAllPorts(group) ? undefined : group.port?.number;
      for (const service of importedWhole({ services: exported, group, namespace })) add(found, service, number);
    }
    if (groups.some(({ name }) => name !== ''))
      for (const [service, ports] of destinationsOf({ exported, forms, namespace }))
        if (ports.size === 0) add(found, service, undefined);
        else for (const number of ports) add(found, service, number);
    const proxy = egressProxy === '' ? undefined : exported.find(({ hostname }) => hostname === egressProxy);
    if (proxy) add(found, proxy, undefined);
    const wholes = new Map([...found.values()].map(({ service, ports }) => [service, ports]));
    return sharedList(
      exported.flatMap((service) => {
        if (!wholes.has(service)) return [];
        const ports = wholes.get(service);
        return ports ? withPorts({ service, numbers: [...ports].sort((a, b) => a - b).join() }) : service;
      }),
    );
  },
);

interface Reached {
  readonly service: MeshService;
  /** Undefined: all. */
  readonly ports: Set<number> | undefined;
}

/** The first service of a host name stays, unless a Kubernetes Service comes; of one service the ports are joined. */
function add(found: Map<string, Reached>, service: MeshService, number: number | undefined): void {
  const known = found.get(service.hostname);
  const displaced = known && known.service.resource.kind !== 'Service' && service.resource.kind === 'Service';
  if (!known || (displaced && known.service !== service)) {
    found.set(service.hostname, { service, ports: number === undefined ? undefined : new Set([number]) });
  } else if (known.service === service && known.ports) {
    if (number === undefined) found.set(service.hostname, { service, ports: undefined });
    else known.ports.add(number);
  }
}

/** A service with some of its ports. */
const withPorts = generator<{ service: MeshService; numbers: string }, MeshService>(
  { service: true, numbers: true },
  ({ service, numbers }) => {
    const wanted = new Set(numbers.split(',').map(Number));
    const ports = service.ports.filter(({ number }) => wanted.has(number));
    return ports.length === service.ports.length ? service : { ...service, ports, whole: service.whole ?? service };
  },
);

interface DestinationsInput {
  readonly exported: readonly MeshService[];
  readonly forms: readonly RouteForm[];
  readonly namespace: string;
}

/** The services that rules of sidecars lead to, and at which ports; no port: at any. */
const destinationsOf = generator<DestinationsInput, ReadonlyMap<MeshService, ReadonlySet<number>>>(
  { exported: true, forms: true, namespace: true },
  ({ exported, forms, namespace }) => {
    const hosts = new Map<string, Set<number>>();
    for (const form of forms)
      if (form.gateways.includes('mesh'))
        for (const { host, number } of destinationsIn({ form, namespace })) {
          const ports = hosts.get(host) ?? new Set();
          hosts.set(host, ports.add(number));
        }
    if (hosts.size === 0) return new Map();
    const found = new Map<string, MeshService>();
    for (const service of exported) {
      if (!hosts.has(service.hostname)) continue;
      const first = found.get(service.hostname);
      if (!first || (service.namespace === namespace && first.namespace !== namespace))
        found.set(service.hostname, service);
    }
    return new Map(
      [...found.values()]
        .map((service) => {
          const ports = hosts.get(service.hostname)!;
          const known = service.ports.filter(({ number }) => ports.has(number)).map(({ number }) => number);
          // A port that the service does not have leads nowhere, a destination without one to any.
          return [service, new Set(ports.has(0) ? [] : known)] as const;
        })
        .filter(([service, ports]) => ports.size > 0 || hosts.get(service.hostname)!.has(0)),
    );
  },
);

interface Destination {
  readonly host: string;
  /** 0: the rule names none. */
  readonly number: number;
}

const destinationsIn = generator<{ form: RouteForm; namespace: string }, readonly Destination[]>(
  { form: true, namespace: true },
  ({ form, namespace }) => {
    const named: { host: string; port?: { number?: number } }[] = [];
    for (const rule of form.http) {
      if (!isCalledFrom(rule.match, namespace)) continue;
      for (const { destination } of rule.route ?? []) named.push(destination);
      if (rule.mirror) named.push(rule.mirror);
      for (const { destination } of rule.mirrors ?? []) named.push(destination);
    }
    for (const rule of [...form.tcp, ...form.tls])
      if (isCalledFrom(rule.match, namespace)) for (const { destination } of rule.route ?? []) named.push(destination);
    return named.map(({ host, port }) => ({ host, number: port?.number ?? 0 }));
  },
);

/** Rules all of whose matches name another source namespace lead a proxy of `namespace` nowhere. */
function isCalledFrom(matches: readonly { sourceNamespace?: string }[] | undefined, namespace: string): boolean {
  if (!matches || matches.length === 0) return true;
  return matches.some(({ sourceNamespace = '' }) => sourceNamespace === '' || sourceNamespace === namespace);
}
