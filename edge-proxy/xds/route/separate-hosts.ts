/** The separate virtual hosts of one route configuration, by name and by domain: those that are here, and place holders. */
import type { IndexedVirtualHost } from '../../../shared/xds/indexed-host.ts';
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';
import { HostIndex } from '../../http/routing/host-lookup.ts';
import { lowerAscii } from '../../http/routing/matchers.ts';
import type { CompiledHost } from './compile-routes.ts';

/** A virtual host, and what it was compiled to. */
export interface SeparateHost {
  readonly host: VirtualHost;
  readonly compiled: CompiledHost;
  /** A request was routed by it since this was last set to false. */
  used: boolean;
}

/** A virtual host of the host index. It has the domains that no virtual host has, so that nothing else is taken for it. */
interface PlaceHolder extends IndexedVirtualHost {
  readonly compiled: undefined;
  used: boolean;
}

type Entry = SeparateHost | PlaceHolder;

export class SeparateHosts {
  /** Undefined: it has not come yet. */
  readonly config: RouteConfiguration | undefined;
  private readonly byName = new Map<string, SeparateHost>();
  private readonly indexed = new Map<string, PlaceHolder>();
  /** Domain in lower case -> the place holder that has it while nothing else does. */
  private readonly reserved = new Map<string, PlaceHolder>();
  /** Domain in lower case -> place holders that claim it besides, while a domain moves from one to another. */
  private readonly contested = new Map<string, PlaceHolder[]>();
  private readonly index: HostIndex<Entry>;

  constructor(config: RouteConfiguration | undefined) {
    this.config = config;
    this.index = new HostIndex(config?.ignorePortInHostMatching ?? false);
  }

  get isEmpty(): boolean {
    return this.byName.size === 0 && this.indexed.size === 0;
  }

  values(): Iterable<SeparateHost> {
    return this.byName.values();
  }

  placeHolders(): Iterable<IndexedVirtualHost> {
    return this.indexed.values();
  }

  has(name: string): boolean {
    return this.byName.has(name);
  }

  isIndexed(name: string): boolean {
    return this.indexed.has(name);
  }

  /** @returns undefined where there is none, or it is not here */
  find(authority: string): CompiledHost | undefined {
    const found = this.index.find(authority);
    if (found === undefined) return undefined;
    found.used = true;
    return found.compiled;
  }

  /** The name of the virtual host of an authority, where it is not here. */
  unfetched(authority: string): string | undefined {
    const found = this.index.find(authority);
    return found && found.compiled === undefined ? found.name : undefined;
  }

  /** Why the host cannot be added. */
  conflict({ domains }: VirtualHost): ConfigError | undefined {
    for (const [i, domain] of domains.entries()) {
      const holder = this.index.holder(domain);
      if (holder?.compiled)
        return new ConfigError(`domains[${i}]`, `"${domain}" belongs to virtual host "${holder.host.name}"`);
    }
    return undefined;
  }

  /** @throws ConfigError when another host has one of its domains */
  add(one: SeparateHost): true {
    const conflict = this.conflict(one.host);
    if (conflict) throw conflict;
    const { name, domains } = one.host;
    this.byName.set(name, one);
    for (const domain of domains) this.place(domain, one);
    return true;
  }

  /** @returns what was removed */
  remove(name: string): SeparateHost | undefined {
    const one = this.byName.get(name);
    if (!one) return undefined;
    this.byName.delete(name);
    for (const domain of one.host.domains) {
      this.index.remove(domain);
      this.reserve(domain);
    }
    return one;
  }

  /** Notes that a virtual host exists. */
  addIndexed({ name, domains }: IndexedVirtualHost): void {
    this.removeIndexed(name);
    const holder: PlaceHolder = { name, domains, compiled: undefined, used: false };
    this.indexed.set(name, holder);
    for (const domain of domains) {
      this.claim(lowerAscii(domain), holder);
      this.reserve(domain);
    }
  }

  /** The last to claim a domain has it; another gets it back when that one leaves. */
  private claim(domain: string, holder: PlaceHolder): void {
    const before = this.reserved.get(domain);
    this.reserved.set(domain, holder);
    if (before === undefined || before === holder) return;
    const others = this.contested.get(domain);
    if (others) others.push(before);
    else this.contested.set(domain, [before]);
  }

  removeIndexed(name: string): void {
    const holder = this.indexed.get(name);
    if (holder === undefined) return;
    this.indexed.delete(name);
    for (const domain of holder.domains) this.leave(domain, holder);
  }

  private leave(domain: string, holder: PlaceHolder): void {
    const key = lowerAscii(domain);
    const others = this.contested.get(key)?.filter((other) => other !== holder) ?? [];
    const isReserved = this.reserved.get(key) === holder;
    const next = isReserved ? others.pop() : undefined;
    if (others.length > 0) this.contested.set(key, others);
    else this.contested.delete(key);
    if (!isReserved) return;
    if (this.index.holder(domain) === holder) this.index.remove(domain);
    if (next === undefined) this.reserved.delete(key);
    else {
      this.reserved.set(key, next);
      this.reserve(domain);
    }
  }

  private place(domain: string, entry: Entry): void {
    this.index.remove(domain);
    this.index.add(domain, entry);
  }

  /** Gives a domain that no virtual host has to the place holder that claims it. */
  private reserve(domain: string): void {
    const holder = this.reserved.get(lowerAscii(domain));
    if (holder && !this.index.holder(domain)?.compiled) this.place(domain, holder);
  }
}
