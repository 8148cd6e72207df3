/**
 * The route tables by name. A configuration holds its virtual hosts, or (`vhds`) they come one by one: of those the
 * tables keep each compiled host, so that a change of one compiles one.
 */
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';
import { checkDomains, HostIndex } from '../../http/routing/host-lookup.ts';
import type { RouteTable } from '../../http/routing/route-table.ts';
import { validateClusters } from '../cluster/validate-clusters.ts';
import { type CompiledHost, compileVirtualHost, type RouteDeps, routeTable } from './compile-routes.ts';

export interface RouteTableDeps {
  readonly clusters: { has(name: string): boolean };
  /** Compiles a configuration that holds its virtual hosts. */
  readonly compileRoutes: (config: RouteConfiguration) => RouteTable;
  readonly hosts: RouteDeps;
}

export interface RouteChanges {
  readonly configurations: readonly RouteConfiguration[];
  /** Named `<configuration>/<virtual host>`. */
  readonly hosts: readonly VirtualHost[];
  readonly removedHosts: readonly string[];
}

/** A virtual host, and what it was compiled to. */
interface SeparateHost {
  readonly host: VirtualHost;
  readonly compiled: CompiledHost;
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
  apply({ configurations, hosts, removedHosts }: RouteChanges): Map<string, string> {
    const violations = new Map<string, string>();
    const divided = new Map<string, RouteConfiguration>();
    const whole: RouteConfiguration[] = [];
    for (const config of configurations)
      if (config.vhds) divided.set(config.name ?? '', config);
      else whole.push(config);
    const incoming = Map.groupBy(hosts, (host) => configurationOf(host.name));
    const leaving = Map.groupBy(removedHosts, configurationOf);
    for (const config of whole) this.runWhole(config, violations);
    for (const name of new Set([...divided.keys(), ...incoming.keys(), ...leaving.keys()])) {
      // Where the configuration that should hold them is refused, the hosts stay with the one before it.
      const gone = whole.length > 0 && violations.has(`routes/${name}`) ? [] : (leaving.get(name) ?? []);
      this.runSeparate(name, divided.get(name), incoming.get(name) ?? [], gone, violations);
    }
    return violations;
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
    for (const one of before.values()) waiting.add(one);
    if (waiting.size > 0) this.separate.set(name, waiting);
    else this.separate.delete(name);
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
    if (hosts.size > 0 || hosts.config) this.separate.set(name, hosts);
    else this.separate.delete(name);
    if (next && changed)
      this.tables.set(
        name,
        routeTable(changed, (authority) => next.find(authority)),
      );
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
    const gone = new Set(leaving);
    const replaced = new Set(incoming.map((host) => host.name));
    for (const { host } of before.values()) {
      if (gone.has(host.name)) continue;
      const compile = () => next.add({ host, compiled: this.compileHost(config, host) });
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
      if (compiled) good.push({ host, compiled });
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

/** The hosts of one configuration by name and by domain. */
class SeparateHosts {
  /** Undefined: it has not come yet. */
  readonly config: RouteConfiguration | undefined;
  private readonly byName = new Map<string, SeparateHost>();
  private readonly index: HostIndex<SeparateHost>;

  constructor(config: RouteConfiguration | undefined) {
    this.config = config;
    this.index = new HostIndex(config?.ignorePortInHostMatching ?? false);
  }

  get size(): number {
    return this.byName.size;
  }

  values(): Iterable<SeparateHost> {
    return this.byName.values();
  }

  find(authority: string): CompiledHost | undefined {
    return this.index.find(authority)?.compiled;
  }

  /** Why the host cannot be added. */
  conflict({ domains }: VirtualHost): ConfigError | undefined {
    for (const [i, domain] of domains.entries()) {
      const holder = this.index.holder(domain);
      if (holder) return new ConfigError(`domains[${i}]`, `"${domain}" belongs to virtual host "${holder.host.name}"`);
    }
    return undefined;
  }

  /** @throws ConfigError when another host has one of its domains */
  add(one: SeparateHost): true {
    const conflict = this.conflict(one.host);
    if (conflict) throw conflict;
    this.byName.set(one.host.name, one);
    for (const domain of one.host.domains) this.index.add(domain, one);
    return true;
  }

  /** @returns what was removed */
  remove(name: string): SeparateHost | undefined {
    const one = this.byName.get(name);
    for (const domain of one?.host.domains ?? []) this.index.remove(domain);
    this.byName.delete(name);
    return one;
  }
}

function attempt<T>(resource: string, violations: Map<string, string>, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    violations.set(resource, (error as Error).message);
    return undefined;
  }
}
