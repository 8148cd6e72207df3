/** The names of the mesh, as Istio's agent finds them (pkg/dns/client): exact, shortened, expanded by a search domain, wildcard. */

import type { DnsHost } from '../../shared/dns/dns-host.ts';
import { ipBytes } from '../../shared/match/ip-bytes.ts';
import { canonicalName, nameBytes } from './names.ts';

export interface TableEntry {
  /** Lower case, without the dot at its end. */
  readonly host: string;
  /** It is a service in the domain of its namespace, or an instance of one: it has short names. */
  readonly isService: boolean;
  /** In network byte order. */
  readonly ipv4: readonly Uint8Array[];
  readonly ipv6: readonly Uint8Array[];
  readonly ports: NonNullable<DnsHost['ports']>;
  /** Names of its instances; undefined: none have any. */
  readonly instances: readonly string[] | undefined;
}

export interface Found {
  readonly entry: TableEntry;
  /** The name asked for is the answer's alias of this one: a search domain was appended to it. */
  readonly alias: string | undefined;
}

export interface TableOptions {
  /** Of the proxy: its services have names of one label. */
  readonly namespace: string;
  /** `cluster.local` */
  readonly domainSuffix: string;
  /** What resolvers of applications append to names, besides `<namespace>.svc.<suffix>`, `svc.<suffix>` and `<suffix>`. */
  readonly searchDomains?: () => readonly string[];
}

export class NameTable {
  private readonly byName = new Map<string, TableEntry>();
  /** Address in network byte order, as characters -> hosts that have it. */
  private readonly byAddress = new Map<string, string[]>();
  private wildcards = 0;
  /** What shortened names lack, the longest first. */
  private readonly domains: readonly string[];
  private readonly hostSearch: () => readonly string[];
  /** All names have come once. */
  isComplete = false;

  constructor({ namespace, domainSuffix, searchDomains = () => [] }: TableOptions) {
    const suffix = canonicalName(domainSuffix);
    this.domains = [`.${namespace}.svc.${suffix}`, `.svc.${suffix}`, `.${suffix}`];
    this.hostSearch = searchDomains;
  }

  get size(): number {
    return this.byName.size;
  }

  /** Names that are no domain names, and addresses that are none, are left out. */
  apply(upserts: readonly DnsHost[], removed: readonly string[]): void {
    for (const name of removed) this.remove(canonicalName(name));
    for (const host of upserts) {
      const name = canonicalName(host.name);
      this.remove(name);
      if (nameBytes(name)) this.add(name, host);
    }
  }

  private add(host: string, { service: isService = false, addresses, ports = [], instances = [] }: DnsHost): void {
    const pods = instances
      .map((each) => ({ name: `${canonicalName(each.hostname)}.${host}`, addresses: each.addresses }))
      .filter(({ name }) => nameBytes(name));
    const names = pods.length > 0 ? pods.map(({ name }) => name) : undefined;
    this.put({ host, isService, ...split(addresses), ports, instances: names }, names === undefined);
    for (const { name, addresses: own } of pods)
      this.put({ host: name, isService, ...split(own), ports: [], instances: undefined }, true);
  }

  /** @param reverse whether its addresses are looked up as its own */
  private put(entry: TableEntry, reverse: boolean): void {
    this.byName.set(entry.host, entry);
    if (entry.host.startsWith('*.')) this.wildcards += 1;
    else if (reverse)
      for (const address of [...entry.ipv4, ...entry.ipv6]) {
        const key = addressKey(address);
        const hosts = this.byAddress.get(key);
        if (!hosts) this.byAddress.set(key, [entry.host]);
        else if (!hosts.includes(entry.host)) hosts.push(entry.host);
      }
  }

  private remove(host: string): void {
    const entry = this.byName.get(host);
    if (!entry) return;
    this.byName.delete(host);
    if (host.startsWith('*.')) this.wildcards -= 1;
    for (const address of [...entry.ipv4, ...entry.ipv6]) {
      const key = addressKey(address);
      const left = this.byAddress.get(key)?.filter((name) => name !== host) ?? [];
      if (left.length > 0) this.byAddress.set(key, left);
      else this.byAddress.delete(key);
    }
    for (const name of entry.instances ?? []) this.remove(name);
  }

  /** @param name lower case, without the dot at its end */
  find(name: string): Found | undefined {
    const direct = this.named(name);
    if (direct) return { entry: direct, alias: undefined };
    const expanded = this.withoutSearchDomain(name, (rest) => this.named(rest));
    if (expanded || this.wildcards === 0) return expanded;
    const wild = this.wildcard(name);
    if (wild) return { entry: wild, alias: undefined };
    return this.withoutSearchDomain(name, (rest) => this.wildcard(rest));
  }

  /** Hosts that have an address. */
  hostsAt(address: Uint8Array): readonly string[] {
    return this.byAddress.get(addressKey(address)) ?? [];
  }

  /**
   * Whether a name that is not here may yet come: while the first of several pages are here, any; before, what can only be a
   * name of the mesh, so that a host whose control plane is away resolves others.
   */
  awaits(name: string): boolean {
    return !this.isComplete && (this.size > 0 || this.isOfMesh(name));
  }

  /** Whether a name can only be one of the mesh: a single label, or in its domain. */
  private isOfMesh(name: string): boolean {
    return name !== '' && (!name.includes('.') || `.${name}`.endsWith(this.domains.at(-1)!));
  }

  private named(name: string): TableEntry | undefined {
    const exact = this.byName.get(name);
    if (exact) return exact;
    for (const domain of this.domains) {
      const entry = this.byName.get(name + domain);
      if (entry?.isService) return entry;
    }
    return undefined;
  }

  private withoutSearchDomain(name: string, find: (rest: string) => TableEntry | undefined): Found | undefined {
    for (const domain of this.domains) {
      const found = name.endsWith(domain) ? aliasOf(name, domain.length, find) : undefined;
      if (found) return found;
    }
    for (const search of this.hostSearch()) {
      const domain = canonicalName(search);
      const found = domain !== '' && name.endsWith(`.${domain}`) && aliasOf(name, domain.length + 1, find);
      if (found) return found;
    }
    return undefined;
  }

  /** The longest suffix has a name. */
  private wildcard(name: string): TableEntry | undefined {
    for (let at = name.indexOf('.'); at >= 0; at = name.indexOf('.', at + 1)) {
      const entry = this.byName.get(`*${name.slice(at)}`);
      if (entry) return entry;
    }
    return undefined;
  }
}

function aliasOf(name: string, cut: number, find: (rest: string) => TableEntry | undefined): Found | undefined {
  const alias = name.slice(0, -cut);
  const entry = alias === '' ? undefined : find(alias);
  return entry && { entry, alias };
}

function split(addresses: readonly string[]): Pick<TableEntry, 'ipv4' | 'ipv6'> {
  const bytes = [...new Set(addresses)].flatMap((address) => ipBytes(address) ?? []);
  return { ipv4: bytes.filter(({ length }) => length === 4), ipv6: bytes.filter(({ length }) => length === 16) };
}

const addressKey = (address: Uint8Array): string => String.fromCharCode(...address);
