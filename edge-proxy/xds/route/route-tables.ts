/**
 * The route tables by name. A configuration holds its virtual hosts, or (`vhds`) they come one by one: of those the
 * tables keep each compiled host, so that a change of one compiles one.
 */
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { ConfigFault } from '../../config-error.ts';
import { compileHostLookup, type HostEntry } from '../../control-client/host-lookup.ts';
import { lowerAscii } from '../../http/matchers.ts';
import type { RouteTable } from '../../http/route-table.ts';
import { validateClusters } from '../cluster/validate-clusters.ts';
import { type CompiledHost, compileVirtualHost, routeTable } from './compile-routes.ts';

export interface RouteTableParts {
  readonly clusters: { has(name: string): boolean };
  /** Compiles a configuration that holds its virtual hosts. */
  readonly compileRoutes: (config: RouteConfiguration) => RouteTable;
}

export interface RouteChanges {
  readonly configurations: readonly RouteConfiguration[];
  /** Named `<configuration>/<virtual host>`. */
  readonly hosts: readonly VirtualHost[];
  readonly removedHosts: readonly string[];
}

/** A virtual host, and what it was compiled to with a version of its configuration. */
interface SeparateHost {
  readonly host: VirtualHost;
  readonly config: RouteConfiguration;
  readonly compiled: CompiledHost;
}
type Hosts = Map<string, SeparateHost>;

/** What hosts are judged by while their configuration has not come: it has no limits of its own. */
const STAND_IN: RouteConfiguration = { maxDirectResponseBodySizeBytes: 0xffffffff };

export class RouteTables {
  private readonly parts: RouteTableParts;
  private readonly tables = new Map<string, RouteTable>();
  /** Configurations whose virtual hosts are separate. */
  private readonly configurations = new Map<string, RouteConfiguration>();
  /** By configuration, which may not have come yet, then by the host's full name. */
  private readonly hosts = new Map<string, Hosts>();

  constructor(parts: RouteTableParts) {
    this.parts = parts;
  }

  get(name: string): RouteTable | undefined {
    return this.tables.get(name);
  }

  remove(name: string): void {
    this.tables.delete(name);
    this.configurations.delete(name);
  }

  /**
   * All changes in one step. What is refused keeps its last good state.
   * @returns `routes/name` and `virtualHosts/name` -> what is wrong
   */
  apply({ configurations, hosts, removedHosts }: RouteChanges): Map<string, string> {
    const faults = new Map<string, string>();
    const separate = new Map<string, RouteConfiguration>();
    const whole: RouteConfiguration[] = [];
    for (const config of configurations)
      if (config.vhds) separate.set(config.name ?? '', config);
      else whole.push(config);
    const incoming = Map.groupBy(hosts, (host) => configurationOf(host.name));
    const leaving = Map.groupBy(removedHosts, configurationOf);
    for (const config of whole) this.runWhole(config, faults);
    for (const name of new Set([...separate.keys(), ...incoming.keys(), ...leaving.keys()])) {
      // Where the configuration that should hold them is refused, the hosts stay with the one before it.
      const gone = whole.length > 0 && faults.has(`routes/${name}`) ? [] : (leaving.get(name) ?? []);
      this.runSeparate(name, separate.get(name), incoming.get(name) ?? [], gone, faults);
    }
    return faults;
  }

  private runWhole(config: RouteConfiguration, faults: Map<string, string>): void {
    const name = config.name ?? '';
    attempt(`routes/${name}`, faults, () => {
      validateClusters(config, this.parts.clusters);
      this.tables.set(name, this.parts.compileRoutes(config));
      this.configurations.delete(name);
    });
  }

  private runSeparate(
    name: string,
    changed: RouteConfiguration | undefined,
    incoming: readonly VirtualHost[],
    leaving: readonly string[],
    faults: Map<string, string>,
  ): void {
    const kept = new Map(this.hosts.get(name));
    for (const host of leaving) kept.delete(host);
    const config = changed ?? this.configurations.get(name);
    const next = this.compiled(config ?? STAND_IN, kept, incoming, faults);
    const table = config && attempt(`routes/${name}`, faults, () => this.tableOf(config, next));
    if (changed && !table) {
      // The configuration before it, or none, stays in force and takes the hosts.
      for (const host of incoming) faults.delete(`virtualHosts/${host.name}`);
      this.runSeparate(name, undefined, incoming, leaving, faults);
      return;
    }
    if (next.size > 0) this.hosts.set(name, next);
    else this.hosts.delete(name);
    if (!config || !table) return;
    this.configurations.set(name, config);
    this.tables.set(name, table);
  }

  /** `kept` with those of `incoming` that compile and whose domains are free. */
  private compiled(
    config: RouteConfiguration,
    kept: Hosts,
    incoming: readonly VirtualHost[],
    faults: Map<string, string>,
  ): Hosts {
    const next = new Map(kept);
    for (const host of incoming) next.delete(host.name);
    const taken = new Map<string, string>();
    const claim = (host: VirtualHost) => {
      for (const domain of host.domains) taken.set(lowerAscii(domain), host.name);
    };
    for (const { host } of next.values()) claim(host);
    for (const host of incoming) {
      const previous = kept.get(host.name);
      const made = attempt(`virtualHosts/${host.name}`, faults, () => {
        refuseTaken(host, taken);
        compileHostLookup([{ domains: host.domains, path: `virtual host "${host.name}"`, value: host }], false);
        return { host, config, compiled: this.compileHost(config, host) };
      });
      const runs = made ?? (previous && !previous.host.domains.some((one) => taken.has(lowerAscii(one))) && previous);
      if (!runs) continue;
      claim(runs.host);
      next.set(host.name, runs);
    }
    return next;
  }

  /** Compiles again those of `hosts` that belong to another version of the configuration. @throws ConfigFault */
  private tableOf(config: RouteConfiguration, hosts: Hosts): RouteTable {
    if (config.virtualHosts?.length) throw new ConfigFault('virtualHosts', 'must be empty where vhds is set');
    if (!config.vhds?.configSource.ads) throw new ConfigFault('vhds.configSource', 'must be ads');
    const entries: HostEntry<CompiledHost>[] = [];
    for (const [name, known] of hosts) {
      const { host } = known;
      const value = known.config === config ? known.compiled : this.compileHost(config, host);
      if (value !== known.compiled) hosts.set(name, { host, config, compiled: value });
      entries.push({ domains: host.domains, path: `virtual host "${name}"`, value });
    }
    return routeTable(config, entries);
  }

  private compileHost(config: RouteConfiguration, host: VirtualHost): CompiledHost {
    const own = { ...host, name: host.name.slice(configurationOf(host.name).length + 1) };
    validateClusters({ ...config, virtualHosts: [own] }, this.parts.clusters);
    return compileVirtualHost(config, own, `virtual host "${host.name}"`);
  }
}

/** What stands before the last slash of a separate host's name. */
function configurationOf(hostName: string): string {
  return hostName.slice(0, Math.max(0, hostName.lastIndexOf('/')));
}

function refuseTaken({ domains }: VirtualHost, taken: ReadonlyMap<string, string>): void {
  for (const [i, domain] of domains.entries()) {
    const holder = taken.get(lowerAscii(domain));
    if (holder !== undefined) throw new ConfigFault(`domains[${i}]`, `"${domain}" belongs to virtual host "${holder}"`);
  }
}

function attempt<T>(resource: string, faults: Map<string, string>, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    faults.set(resource, (error as Error).message);
    return undefined;
  }
}
