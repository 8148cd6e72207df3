/**
 * The route tables by name. A configuration holds its virtual hosts, or (`vhds`) they come one by one: of those the
 * tables keep each compiled host, so that a change of one compiles one.
 */

import { clusterNamesIn } from '../../../shared/xds/cluster-names.ts';
import type { IndexedVirtualHost } from '../../../shared/xds/indexed-host.ts';
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';
import { checkDomains } from '../../http/routing/host-lookup.ts';
import type { RouteTable } from '../../http/routing/route-table.ts';
import type { Fetches } from '../../upstream/fetches.ts';
import { validateClusters } from '../cluster/validate-clusters.ts';
import { type CompiledHost, compileVirtualHost, type RouteDeps, routeTable } from './compile-routes.ts';
import { type SeparateHost, SeparateHosts } from './separate-hosts.ts';

export interface RouteTableDeps {
  readonly clusters: { has(name: string): boolean };
  /** Compiles a configuration that holds its virtual hosts. */
  readonly compileRoutes: (config: RouteConfiguration) => RouteTable;
  readonly hosts: RouteDeps;
  /** For virtual hosts that the host index has and that are not here. */
  readonly fetches: Fetches;
}

export interface RouteChanges {
  readonly configurations: readonly RouteConfiguration[];
  /** Named `<configuration>/<virtual host>`. */
  readonly hosts: readonly VirtualHost[];
  readonly removedHosts: readonly string[];
  /** Virtual hosts that the host index has now, or otherwise than before. */
  readonly indexed?: readonly IndexedVirtualHost[];
  /** Names of those that it has no longer. */
  readonly unindexed?: readonly string[];
}

/** What hosts are judged by while their configuration has not come: it has no limits of its own. */
const STAND_IN: RouteConfiguration = { maxDirectResponseBodySizeBytes: 0xffffffff };

export class RouteTables {
  private readonly parts: RouteTableDeps;
  private readonly tables = new Map<string, RouteTable>();
  /** By the name of the configuration. */
  private readonly separate = new Map<string, SeparateHosts>();

  constructor(parts: RouteTableDeps) {
    this.parts = parts;
  }

  get(name: string): RouteTable | undefined {
    return this.tables.get(name);
  }

  remove(name: string): void {
    this.tables.delete(name);
    this.detach(name);
  }

  /**
   * All changes in one step. What is refused keeps its last good state.
   * @returns `routes/name` and `virtualHosts/name` -> what is wrong
   */
  apply({ configurations, hosts, removedHosts, indexed = [], unindexed = [] }: RouteChanges): Map<string, string> {
    const violations = new Map<string, string>();
    for (const one of indexed) this.hostsOf(configurationOf(one.name)).addIndexed(one);
    for (const name of unindexed) this.unindex(configurationOf(name), name);
    const divided = new Map<string, RouteConfiguration>();
    const whole: RouteConfiguration[] = [];
    for (const config of configurations)
      if (config.vhds) divided.set(config.name ?? '', config);
      else whole.push(config);
    const incoming = Map.groupBy(hosts, (host) => configurationOf(host.name));
    const leaving = Map.groupBy(removedHosts, configurationOf);
    const missing = removedHosts.filter((name) => !this.separate.get(configurationOf(name))?.has(name));
    for (const config of whole) this.runWhole(config, violations);
    for (const name of new Set([...divided.keys(), ...incoming.keys(), ...leaving.keys()])) {
      // Where the configuration that should hold them is refused, the hosts stay with the one before it.
      const gone = whole.length > 0 && violations.has(`routes/${name}`) ? [] : (leaving.get(name) ?? []);
      this.runSeparate(name, divided.get(name), incoming.get(name) ?? [], gone, violations);
    }
    this.settle([...hosts.map(({ name }) => name), ...missing]);
    for (const name of unindexed) this.parts.fetches.settle('virtualHosts', name, 'changed');
    return violations;
  }

  /** Which separate virtual hosts requests were routed by since the last call, or by the clusters of which they are served. */
  takeUsed(inUse: (cluster: string) => boolean): string[] {
    const names: string[] = [];
    for (const hosts of this.separate.values())
      for (const one of hosts.values()) {
        const streams = () => [...clusterNamesIn(one.host)].some(inUse);
        if (one.used || streams()) names.push(one.host.name);
        one.used = false;
      }
    return names;
  }

  private unindex(configuration: string, name: string): void {
    const hosts = this.separate.get(configuration);
    hosts?.removeIndexed(name);
    if (hosts?.isEmpty && !hosts.config) this.separate.delete(configuration);
  }

  private hostsOf(name: string): SeparateHosts {
    let hosts = this.separate.get(name);
    if (!hosts) this.separate.set(name, (hosts = new SeparateHosts(undefined)));
    return hosts;
  }

  /** Tells those who wait for virtual hosts what became of them. */
  private settle(names: readonly string[]): void {
    for (const name of names) {
      const hosts = this.separate.get(configurationOf(name));
      const refused = hosts?.isIndexed(name) && !hosts.has(name);
      this.parts.fetches.settle('virtualHosts', name, refused ? 'refused' : 'changed');
    }
  }

  private runWhole(config: RouteConfiguration, violations: Map<string, string>): void {
    const name = config.name ?? '';
    attempt(`routes/${name}`, violations, () => {
      validateClusters(config, this.parts.clusters);
      this.tables.set(name, this.parts.compileRoutes(config));
      this.detach(name);
    });
  }

  /** The configuration does not hold its separate hosts any more; they wait, or leave. */
  private detach(name: string): void {
    const before = this.separate.get(name);
    if (!before) return;
    const waiting = new SeparateHosts(undefined);
    for (const one of before.placeHolders()) waiting.addIndexed(one);
    for (const one of before.values()) waiting.add(one);
    if (waiting.isEmpty) this.separate.delete(name);
    else this.separate.set(name, waiting);
  }

  private runSeparate(
    name: string,
    changed: RouteConfiguration | undefined,
    incoming: readonly VirtualHost[],
    leaving: readonly string[],
    violations: Map<string, string>,
  ): void {
    const before = this.separate.get(name) ?? new SeparateHosts(undefined);
    const next =
      changed && attempt(`routes/${name}`, violations, () => this.underNew(changed, before, incoming, leaving));
    const hosts = next ?? before;
    if (!next) for (const host of leaving) hosts.remove(host);
    this.replace(hosts, incoming, violations);
    if (hosts.isEmpty && !hosts.config) this.separate.delete(name);
    else this.separate.set(name, hosts);
    if (next && changed) this.tables.set(name, this.tableOf(changed, next));
  }

  private tableOf(config: RouteConfiguration, hosts: SeparateHosts): RouteTable {
    const { fetches } = this.parts;
    return {
      ...routeTable(config, (authority) => hosts.find(authority)),
      fetch: (authority) => {
        const name = hosts.unfetched(authority);
        return name === undefined ? undefined : fetches.join('virtualHosts', name);
      },
    };
  }

  /** The hosts that stay, by a new version of their configuration. @throws ConfigError */
  private underNew(
    config: RouteConfiguration,
    before: SeparateHosts,
    incoming: readonly VirtualHost[],
    leaving: readonly string[],
  ): SeparateHosts {
    if (config.virtualHosts?.length) throw new ConfigError('virtualHosts', 'must be empty where vhds is set');
    if (!config.vhds?.configSource.ads) throw new ConfigError('vhds.configSource', 'must be ads');
    const next = new SeparateHosts(config);
    for (const one of before.placeHolders()) next.addIndexed(one);
    const gone = new Set(leaving);
    const replaced = new Set(incoming.map((host) => host.name));
    for (const { host, used } of before.values()) {
      if (gone.has(host.name)) continue;
      const compile = () => next.add({ host, compiled: this.compileHost(config, host), used });
      // What does not compile any more, and is replaced, is no reason to refuse the configuration.
      if (replaced.has(host.name)) attempt(host.name, new Map(), compile);
      else compile();
    }
    return next;
  }

  /** Puts those of `incoming` in that compile and whose domains are free; the others keep their last good version. */
  private replace(hosts: SeparateHosts, incoming: readonly VirtualHost[], violations: Map<string, string>): void {
    const config = hosts.config ?? STAND_IN;
    const good: SeparateHost[] = [];
    for (const host of incoming) {
      const compiled = attempt(`virtualHosts/${host.name}`, violations, () => this.compileHost(config, host));
      if (compiled) good.push({ host, compiled, used: true });
    }
    // All make way before one comes: a domain may pass from one to another.
    const previous = good.map(({ host }) => hosts.remove(host.name));
    for (const [i, one] of good.entries()) {
      const added = attempt(`virtualHosts/${one.host.name}`, violations, () => hosts.add(one));
      const last = previous[i];
      if (!added && last && !hosts.conflict(last.host)) hosts.add(last);
    }
  }

  private compileHost(config: RouteConfiguration, host: VirtualHost): CompiledHost {
    const own = { ...host, name: host.name.slice(configurationOf(host.name).length + 1) };
    checkDomains(host.domains, `virtual host "${host.name}"`);
    validateClusters({ ...config, virtualHosts: [own] }, this.parts.clusters);
    return compileVirtualHost(config, own, `virtual host "${host.name}"`, this.parts.hosts);
  }
}

/** The part before the last slash of a separate host's name. */
function configurationOf(hostName: string): string {
  return hostName.slice(0, Math.max(0, hostName.lastIndexOf('/')));
}

function attempt<T>(resource: string, violations: Map<string, string>, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    violations.set(resource, (error as Error).message);
    return undefined;
  }
}
