/** What is fetched on demand: the names that traffic asked for, when they were last used, and what has to be sent about them. */
import { clusterNamesIn } from '../../shared/xds/cluster-names.ts';
import { type DeltaDiscoveryRequest, MAX_POLL_NAMES, TYPE_URLS } from '../../shared/xds/discovery.ts';

/** Types whose resources are fetched by name. */
const TYPES = ['virtualHosts', 'clusters'] as const;
export type WantedType = (typeof TYPES)[number];
export type WantedNames = { readonly [T in WantedType]: readonly string[] };

/** Of names in one poll, in characters; the control plane's limit of a poll is 1 MiB. */
const POLL_CHARS = 400 * 1024;

export class WantedResources {
  /** Name -> when it was last known to be used, in milliseconds. */
  private readonly lastUsed = { virtualHosts: new Map<string, number>(), clusters: new Map<string, number>() };
  /** Names that the control plane does not know about: whether they are wanted. */
  private readonly changed = { virtualHosts: new Map<string, boolean>(), clusters: new Map<string, boolean>() };

  /** @returns whether the control plane has to be asked */
  add(type: WantedType, name: string, now: number): boolean {
    const isNew = !this.lastUsed[type].has(name);
    this.lastUsed[type].set(name, now);
    if (isNew) this.changed[type].set(name, true);
    return isNew;
  }

  /** The same for what is here already; when it was last used is not known better than before. */
  keep(type: WantedType, name: string, now: number): void {
    if (!this.lastUsed[type].has(name)) this.add(type, name, now);
  }

  used(names: WantedNames, now: number): void {
    for (const type of TYPES)
      for (const name of names[type]) if (this.lastUsed[type].has(name)) this.lastUsed[type].set(name, now);
  }

  /** What was last used before `since` is wanted no longer. @returns how many names that is */
  letGo(since: number): number {
    let count = 0;
    for (const type of TYPES)
      for (const [name, at] of this.lastUsed[type]) {
        if (at >= since) continue;
        this.lastUsed[type].delete(name);
        this.changed[type].set(name, false);
        count += 1;
      }
    return count;
  }

  /** For a new session: all that is wanted has to be said, and the rest is not known there. */
  forgetSaid(): void {
    for (const type of TYPES) {
      this.changed[type].clear();
      for (const name of this.lastUsed[type].keys()) this.changed[type].set(name, true);
    }
  }

  get hasChanges(): boolean {
    return TYPES.some((type) => this.changed[type].size > 0);
  }

  /** What the next poll can say; the rest stays for those after it. */
  takeChanges(): { readonly [T in WantedType]: { readonly wanted: string[]; readonly unwanted: string[] } } {
    let left = POLL_CHARS;
    let names = MAX_POLL_NAMES;
    const take = (type: WantedType) => {
      const taken = { wanted: [] as string[], unwanted: [] as string[] };
      for (const [name, isWanted] of this.changed[type]) {
        left -= name.length;
        names -= 1;
        if (left < 0 || names < 0) break;
        this.changed[type].delete(name);
        (isWanted ? taken.wanted : taken.unwanted).push(name);
      }
      return taken;
    };
    return { virtualHosts: take('virtualHosts'), clusters: take('clusters') };
  }

  /** The same as requests of an open session. */
  takeRequests(): DeltaDiscoveryRequest[] {
    const changes = this.takeChanges();
    return TYPES.filter((type) => changes[type].wanted.length + changes[type].unwanted.length > 0).map((type) => ({
      typeUrl: TYPE_URLS[type],
      resourceNamesSubscribe: changes[type].wanted,
      resourceNamesUnsubscribe: changes[type].unwanted,
    }));
  }
}

/** The clusters that the tcp_proxies of a listener name. */
export function tcpClustersOf(listener: unknown): Set<string> {
  const names = new Set<string>();
  const isTcpProxy = (part: object) => {
    const type = (part as { '@type'?: unknown })['@type'];
    if (typeof type !== 'string' || !type.endsWith('.tcp_proxy.v3.TcpProxy')) return false;
    for (const name of clusterNamesIn(part)) names.add(name);
    return true;
  };
  clusterNamesIn(listener, isTcpProxy);
  return names;
}
