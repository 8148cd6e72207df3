/** Turns changes of xDS resources into running state: each compiled alone, swapped in whole, or refused by name. */

import {
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  SCHEMAS,
  type XdsResource,
} from '../../shared/xds/discovery.ts';
import type { IndexedHost } from '../../shared/xds/indexed-host.ts';
import { pathText } from '../config-error.ts';
import { CapturedListeners } from '../listener/captured-listeners.ts';
import type { CapturedServers, Chain, CompiledListener } from '../listener/listener.ts';
import { ListenerServer } from '../listener/listener.ts';
import type { Admission } from '../overload/admission.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { InheritedSockets } from '../settings/inherited-sockets.ts';
import { type FetchedType, Fetches } from '../upstream/fetches.ts';
import { hostOfCluster, OnDemandClusters } from './cluster/on-demand-clusters.ts';
import { type CompileCluster, type RunningCluster, RunningClusters } from './cluster/running-clusters.ts';
import { validateClusters } from './cluster/validate-clusters.ts';
import type { FilterRegistry } from './filter/filter-registry.ts';
import { compileListener, type ListenerDeps, listenerAddress } from './listener/compile-listener.ts';
import { type RouteChanges, RouteTables } from './route/route-tables.ts';
import { Secrets } from './tls/secrets.ts';

export type Changes = { [T in ResourceType]?: { upsert: unknown[]; remove: string[] } };
/** Types whose resources are compiled and swapped in one by one. */
type RunAlone = Exclude<ResourceType, 'routes' | 'virtualHosts' | 'hosts' | 'dnsHosts'>;

interface RunningListener {
  readonly server: ListenerServer;
  /** By their JSON. */
  readonly chains: Map<string, Chain>;
}

/** A listener that a change gives another address, compiled as the successor of `current`. */
interface MovingListener {
  readonly current: RunningListener;
  readonly made: ReturnType<typeof compileListener>;
}

/** What becomes of the addresses of listeners in one change. */
interface ListenerPlaces {
  /** Names of those whose address is free for a successor. */
  readonly leaving: ReadonlySet<string>;
  readonly moving: ReadonlyMap<string, MovingListener>;
}

const NOTHING_MOVES: ListenerPlaces['moving'] = new Map();

/** Names by type. */
export type Used = { readonly [T in FetchedType]: readonly string[] };

/** The compilers of the single parts, given in so that each can be tested alone. */
export interface Compilers
  extends Pick<
    ListenerDeps,
    | 'compileRoutes'
    | 'compileHttpFilters'
    | 'httpProxy'
    | 'compileNetworkRbac'
    | 'compileNetworkExtAuthz'
    | 'compileNetworkWasm'
    | 'compileTunnels'
    | 'compileNetworkMissing'
    | 'requestObservers'
    | 'connectionObservers'
    | 'connectionLog'
  > {
  readonly compileCluster: CompileCluster;
  /** Those that routes may configure. */
  readonly filters: FilterRegistry;
}

/** What runs, by type and name. */
export class RunningConfig {
  readonly secrets: Secrets;
  readonly routes: RouteTables;
  readonly listeners = new Map<string, RunningListener>();
  /** The last good resource of each name, for dumps and for what depends on it. */
  readonly resources: { [T in ResourceType]: Map<string, XdsResource[T]> } = {
    secrets: new Map(),
    clusters: new Map(),
    endpoints: new Map(),
    listeners: new Map(),
    hosts: new Map(),
    // The process's DNS server has them (mesh-dns.ts).
    dnsHosts: new Map(),
    virtualHosts: new Map(),
    routes: new Map(),
  };
  /** What requests and connections wait for. */
  readonly fetches: Fetches;
  private readonly running: RunningClusters;
  private readonly tcpClusters: OnDemandClusters;
  private readonly runtime: Runtime;
  private readonly parts: ListenerDeps;
  private readonly captured: CapturedServers = new CapturedListeners();
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    runtime: Runtime,
    compilers: Compilers,
    draining: ListenerDeps['draining'],
    warn: (line: string) => void,
    admission: Admission,
    fetches = new Fetches(runtime),
    sockets?: InheritedSockets,
  ) {
    this.runtime = runtime;
    this.fetches = fetches;
    this.secrets = new Secrets(runtime, warn);
    this.running = new RunningClusters(
      compilers.compileCluster,
      {
        tls: (...args) => this.secrets.client(...args),
        resolve: runtime.resolve,
        connect: (...args) => runtime.connect(...args),
        now: runtime.monotonicMs,
        random: () => this.runtime.random(),
      },
      (serviceName) => this.resources.endpoints.get(serviceName),
    );
    this.routes = new RouteTables({
      clusters: this.clusters,
      compileRoutes: compilers.compileRoutes,
      hosts: { env: runtime, filters: compilers.filters },
      fetches,
    });
    this.tcpClusters = new OnDemandClusters(this.clusters, (host) => this.resources.hosts.has(host), fetches);
    this.parts = {
      runtime,
      secrets: this.secrets,
      clusters: this.clusters,
      tcpClusters: this.tcpClusters,
      routeTable: (name) => this.routes.get(name),
      compileRoutes: (config) => {
        validateClusters(config, this.clusters);
        return compilers.compileRoutes(config);
      },
      compileHttpFilters: compilers.compileHttpFilters,
      httpProxy: compilers.httpProxy,
      compileNetworkRbac: compilers.compileNetworkRbac,
      compileNetworkExtAuthz: compilers.compileNetworkExtAuthz,
      compileNetworkWasm: compilers.compileNetworkWasm,
      compileTunnels: compilers.compileTunnels,
      compileNetworkMissing: compilers.compileNetworkMissing,
      requestObservers: compilers.requestObservers,
      connectionObservers: compilers.connectionObservers,
      connectionLog: compilers.connectionLog,
      draining,
      admission,
      sockets,
    };
  }

  /** The inbound listener that connections to an address of the workload come to; undefined: there is none. */
  inboundAt({ address, port }: { readonly address: string; readonly port: number }): ListenerServer | undefined {
    let wildcard: ListenerServer | undefined;
    let capturing: ListenerServer | undefined;
    for (const [name, { server }] of this.listeners) {
      if (this.resources.listeners.get(name)?.trafficDirection !== 'INBOUND') continue;
      const { config } = server;
      if (config.descriptors.length > 0) capturing = server;
      else if (config.port !== port) continue;
      else if (config.address === address) return server;
      else if (config.address === '0.0.0.0' || config.address === '::') wildcard = server;
    }
    return wildcard ?? capturing;
  }

  get clusters(): ReadonlyMap<string, RunningCluster> {
    return this.running.byName;
  }

  /** One change after another; see DataPlane.apply. */
  apply(changes: Changes): Promise<Map<string, string>> {
    const done = this.queue.then(() => this.applyNow(changes));
    this.queue = done.catch(() => {});
    return done;
  }

  private async applyNow(changes: Changes): Promise<Map<string, string>> {
    const violations = new Map<string, string>();
    // Make before break: additions in the order in which one names the other, then removals backwards.
    for (const type of RESOURCE_TYPES) {
      if (type === 'hosts' || type === 'virtualHosts' || type === 'dnsHosts') continue;
      if (type === 'routes') {
        await this.applyRoutes(changes, violations);
        this.settleClusters(changes);
        continue;
      }
      const moving = type === 'listeners' ? await this.moving(changes) : NOTHING_MOVES;
      const places = { leaving: new Set([...removals(type, changes), ...moving.keys()]), moving };
      for (const raw of changes[type]?.upsert ?? []) await this.upsert(type, raw, places, violations);
    }
    for (const type of [...RESOURCE_TYPES].reverse())
      for (const name of removals(type, changes)) await this.remove(type, name);
    return violations;
  }

  /** Tells those who wait for clusters what became of them; the endpoints are there as well. */
  private settleClusters({ clusters, hosts }: Changes): void {
    const outcomeOf = (name: string) => {
      const absent = !this.clusters.has(name) && this.resources.hosts.has(hostOfCluster(name));
      this.fetches.settle('clusters', name, absent ? 'refused' : 'changed');
    };
    for (const raw of clusters?.upsert ?? []) outcomeOf(resourceName('clusters', raw));
    for (const name of clusters?.remove ?? []) if (!this.clusters.has(name)) outcomeOf(name);
    if (hosts) this.fetches.recheck('clusters', (name) => this.resources.hosts.has(hostOfCluster(name)));
  }

  /** Names of virtual hosts and clusters that served something since the last call, or serve something now. */
  takeUsed(): Used {
    const inUse = (name: string) => {
      const cluster = this.clusters.get(name);
      return cluster !== undefined && cluster.use.requests + (cluster.high?.use.requests ?? 0) > 0;
    };
    return { virtualHosts: this.routes.takeUsed(inUse), clusters: this.tcpClusters.takeUsed() };
  }

  /** The host index, route configurations and their virtual hosts in one step: requests see the tables before it or after it. */
  private async applyRoutes(changes: Changes, violations: Map<string, string>): Promise<void> {
    const parse = async <T extends 'routes' | 'virtualHosts' | 'hosts'>(type: T) => {
      const good: XdsResource[T][] = [];
      for (const raw of changes[type]?.upsert ?? []) {
        const resource = parsed(type, raw, violations);
        if (!resource) continue;
        await this.secrets.load(resource);
        good.push(resource);
      }
      return good;
    };
    const upserts: RouteChanges = {
      ...this.applyIndex(await parse('hosts'), removals('hosts', changes)),
      hosts: await parse('virtualHosts'),
      configurations: await parse('routes'),
      removedHosts: removals('virtualHosts', changes),
    };
    for (const [name, why] of this.routes.apply(upserts)) violations.set(name, why);
    for (const host of upserts.hosts)
      if (!violations.has(`virtualHosts/${host.name}`)) this.resources.virtualHosts.set(host.name, host);
    for (const config of upserts.configurations) {
      const name = config.name ?? '';
      if (!violations.has(`routes/${name}`)) this.resources.routes.set(name, config);
    }
  }

  /** @returns what of the route tables' place holders changes with the index */
  private applyIndex(upserts: readonly IndexedHost[], removed: readonly string[]) {
    const { hosts } = this.resources;
    const unindexed = new Set<string>();
    for (const name of [...removed, ...upserts.map((host) => host.name)])
      for (const host of hosts.get(name)?.virtualHosts ?? []) unindexed.add(host.name);
    for (const name of removed) hosts.delete(name);
    for (const host of upserts) hosts.set(host.name, host);
    const indexed = upserts.flatMap(({ virtualHosts = [] }) => virtualHosts);
    for (const { name } of indexed) unindexed.delete(name);
    return { indexed, unindexed: [...unindexed] };
  }

  /** Listeners that this change gives another address: the old one is free for their successor, as in a swap. */
  private async moving(changes: Changes): Promise<Map<string, MovingListener>> {
    const moving = new Map<string, MovingListener>();
    for (const raw of changes.listeners?.upsert ?? []) {
      const listener = SCHEMAS.listeners.safeParse(raw).data;
      const current = listener && this.listeners.get(listener.name);
      if (!listener || !current) continue;
      try {
        const at = listenerAddress(listener);
        const { address, port } = current.server.config;
        if (at.address === address && at.port === port) continue;
        await this.secrets.load(listener);
        moving.set(listener.name, { current, made: compileListener(listener, this.parts, current.chains) });
      } catch {
        // It will be refused, and stays where it is.
      }
    }
    return moving;
  }

  private async upsert(
    type: RunAlone,
    raw: unknown,
    places: ListenerPlaces,
    violations: Map<string, string>,
  ): Promise<void> {
    const resource = parsed(type, raw, violations);
    if (!resource) return;
    const name = resourceName(type, resource);
    try {
      await this.secrets.load(resource);
      await this.run(type, name, resource, places);
      (this.resources[type] as Map<string, unknown>).set(name, resource);
    } catch (error) {
      violations.set(`${type}/${name}`, (error as Error).message);
      // Another listener has its former address already, and the new one cannot be bound: nothing of it runs.
      if (type === 'listeners' && !this.listeners.has(name)) this.resources.listeners.delete(name);
    }
  }

  private run(
    type: RunAlone,
    name: string,
    resource: XdsResource[ResourceType],
    places: ListenerPlaces,
  ): Promise<void> | undefined {
    switch (type) {
      case 'secrets':
        this.secrets.set(resource as XdsResource['secrets']);
        return;
      case 'clusters':
        this.running.run(resource as XdsResource['clusters']);
        return;
      case 'endpoints':
        this.running.assign(resource as XdsResource['endpoints']);
        return;
      case 'listeners':
        return this.runListener(name, resource as XdsResource['listeners'], places);
    }
  }

  private async runListener(
    name: string,
    listener: XdsResource['listeners'],
    { leaving, moving }: ListenerPlaces,
  ): Promise<void> {
    const current = this.listeners.get(name);
    const move = moving.get(name);
    // Where another listener has its server by now, its chains went with it.
    const isMade = move !== undefined && move.current === current;
    const { compiled, chains } = isMade
      ? move.made
      : compileListener(listener, this.parts, current?.chains ?? new Map());
    const before = current?.server.config;
    if (current && before && samePlace(before, compiled)) {
      current.server.update(compiled);
      this.listeners.set(name, { server: current.server, chains });
      return;
    }
    const server = this.inherit(compiled, leaving) ?? (await this.open(compiled));
    this.listeners.set(name, { server, chains });
    await current?.server.replacedBy(compiled);
  }

  private async open(compiled: CompiledListener): Promise<ListenerServer> {
    const { name, address, port, ignoresTotalLimit } = compiled;
    const admission = this.parts.admission.listener(name, address, port, ignoresTotalLimit);
    const server = new ListenerServer(this.runtime, compiled, admission, this.captured);
    await server.open();
    return server;
  }

  /** A listener that leaves or moves still holds its port: its successor takes the socket over, without a gap. */
  private inherit(compiled: CompiledListener, leaving: ReadonlySet<string>): ListenerServer | undefined {
    if (compiled.port === 0) return undefined;
    for (const name of leaving) {
      if (name === compiled.name) continue;
      const server = this.listeners.get(name)?.server;
      if (!server || !samePlace(server.config, compiled)) continue;
      this.listeners.delete(name);
      server.update(compiled);
      return server;
    }
    return undefined;
  }

  private async remove(type: ResourceType, name: string): Promise<void> {
    this.resources[type].delete(name);
    if (type === 'secrets') this.secrets.remove(name);
    else if (type === 'hosts' || type === 'virtualHosts' || type === 'dnsHosts') return;
    else if (type === 'routes') this.routes.remove(name);
    else if (type === 'clusters') this.running.remove(name);
    else if (type === 'listeners') {
      const running = this.listeners.get(name);
      this.listeners.delete(name);
      await running?.server.drain();
    } else this.running.assign({ clusterName: name, endpoints: [] });
  }
}

/** @returns undefined, and notes why in `violations`, when it is malformed */
function parsed<T extends ResourceType>(
  type: T,
  raw: unknown,
  violations: Map<string, string>,
): XdsResource[T] | undefined {
  const { success, data, error } = SCHEMAS[type].safeParse(raw);
  if (success) return data as XdsResource[T];
  const reason = error.issues.map((issue) => `${pathText(issue.path)}: ${issue.message}`).join('; ');
  violations.set(`${type}/${resourceName(type, raw)}`, reason);
  return undefined;
}

const samePlace = (a: CompiledListener, b: CompiledListener): boolean =>
  a.address === b.address && a.port === b.port && a.bindToPort === b.bindToPort;

/** A name that is both removed and upserted stays: it was replaced. */
function removals(type: ResourceType, changes: Changes): string[] {
  const { upsert = [], remove = [] } = changes[type] ?? {};
  if (remove.length === 0 || upsert.length === 0) return remove;
  const kept = new Set(upsert.map((raw) => resourceName(type, raw)));
  return remove.filter((name) => !kept.has(name));
}
