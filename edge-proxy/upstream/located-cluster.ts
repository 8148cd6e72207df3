/**
 * Clusters that hold no endpoints of their own: each request says where it goes (ORIGINAL_DST by a header, or by the address
 * that its captured connection was sent to; Envoy's dynamic forward proxy by the host name it asks for). What was located lately is kept, within a limit.
 */
import type { HeaderMap } from '../http/message/header-map.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { AcceptedEnds, Located } from './cluster.ts';
import type { BalancedCluster } from './cluster-balanced.ts';
import { type AddressFamily, byFamily } from './cluster-dns.ts';
import { endpointId, type Host } from './host.ts';

/** @param hostname '' for an address that was not looked up */
export type HostMaker = (address: string, port: number, hostname: string) => Host;

export interface LocateLimits {
  readonly maxHosts: number;
  /** Milliseconds after which an unused one is forgotten. */
  readonly hostTtlMs: number;
}

/** The endpoints located so far, the one used longest ago first. */
class KnownHosts {
  private readonly cluster: BalancedCluster;
  private readonly limits: LocateLimits;
  private readonly now: () => number;
  private readonly make: HostMaker;
  private readonly known = new Map<string, { host: Host; usedAt: number }>();

  constructor(cluster: BalancedCluster, limits: LocateLimits, now: () => number, make: HostMaker) {
    this.cluster = cluster;
    this.limits = limits;
    this.now = now;
    this.make = make;
  }

  get(address: string, port: number, hostname: string): Host {
    const key = `${hostname} ${endpointId(address, port)}`;
    const usedAt = this.now();
    const found = this.known.get(key);
    const host = found?.host ?? this.make(address, port, hostname);
    this.known.delete(key);
    this.known.set(key, { host, usedAt });
    if (!found) {
      this.forget(usedAt);
      const hosts = [...this.known.values()].map((one) => one.host);
      this.cluster.setGroups([{ priority: 0, weight: 0, hosts }]);
    }
    return host;
  }

  private forget(now: number): void {
    for (const [key, { usedAt }] of this.known) {
      if (this.known.size <= this.limits.maxHosts && usedAt > now - this.limits.hostTtlMs) return;
      this.known.delete(key);
    }
  }
}

/** Envoy's use_http_header, `x-envoy-original-dst-host: address:port`; without the header, where the connection was sent. */
export function locateOriginal(
  cluster: BalancedCluster,
  header: string | undefined,
  limits: LocateLimits,
  now: () => number,
  make: HostMaker,
): (authority: string, headers: HeaderMap | undefined, client?: AcceptedEnds | undefined) => Located {
  const hosts = new KnownHosts(cluster, limits, now, make);
  return (_, headers, client) => {
    const value = header === undefined ? undefined : headers?.get(header);
    if (value !== undefined) {
      const target = parseTarget(value);
      return target && hosts.get(target.address, target.port, '');
    }
    if (client?.redirected) return hosts.get(client.localAddress, client.localPort, '');
    return header === undefined ? 'not redirected' : undefined;
  };
}

/** `1.2.3.4:80`, `[::1]:80`; names are not looked up. */
export function parseTarget(text: string): { address: string; port: number } | undefined {
  const parts = /^(?:(\d{1,3}(?:\.\d{1,3}){3})|\[([0-9a-fA-F:.]{2,45})\]):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (!parts || port < 1 || port > 65535) return undefined;
  if (parts[1]?.split('.').some((part) => Number(part) > 255)) return undefined;
  return { address: parts[1] ?? parts[2]!, port };
}

export interface ForwardOptions extends LocateLimits {
  readonly family: AddressFamily;
  readonly refreshMs: number;
  /** Of a name that could not be resolved. */
  readonly failureMs: number;
  /** Where the request names none. */
  readonly defaultPort: number;
  readonly lookupTimeoutMs: number;
}

interface Answer {
  addresses: readonly string[];
  /** Monotonic milliseconds. */
  until: number;
  /** A look-up is under way. */
  pending: Promise<void> | undefined;
}

const label = /^[a-z0-9_-]{1,63}$/;

function isHostName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((part) => label.test(part));
}

/** The dynamic forward proxy: the host of the request, looked up and remembered. */
export class DynamicForward {
  private readonly options: ForwardOptions;
  private readonly resolve: Runtime['resolve'];
  private readonly now: () => number;
  private readonly hosts: KnownHosts;
  private readonly answers = new Map<string, Answer>();
  private turn = 0;

  constructor(
    cluster: BalancedCluster,
    options: ForwardOptions,
    deps: { resolve: Runtime['resolve']; now(): number },
    make: HostMaker,
  ) {
    this.options = options;
    this.resolve = deps.resolve;
    this.now = deps.now;
    this.hosts = new KnownHosts(cluster, options, deps.now, make);
  }

  readonly resolveDestination = (authority: string): Located | Promise<Located> => {
    const literal = parseTarget(authority) ?? parseTarget(`${authority}:${this.options.defaultPort}`);
    if (literal) return this.hosts.get(literal.address, literal.port, '');
    const colon = authority.lastIndexOf(':');
    const name = (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase().replace(/\.$/, '');
    const port = colon < 0 ? this.options.defaultPort : Number(authority.slice(colon + 1));
    if (!isHostName(name) || !(port >= 1 && port <= 65535)) return 'unresolved';
    const known = this.answers.get(name);
    if (known && known.addresses.length > 0) {
      // Stale addresses serve while fresh ones are looked up.
      if (known.until <= this.now()) void this.lookUp(name, known);
      return this.choose(known, name, port);
    }
    if (known && known.until > this.now() && !known.pending) return 'unresolved';
    const answer = known ?? this.add(name);
    if (!answer) return 'overflow';
    return this.lookUp(name, answer).then(() => this.choose(answer, name, port));
  };

  private choose(answer: Answer, name: string, port: number): Located {
    const { addresses } = answer;
    if (addresses.length === 0) return 'unresolved';
    return this.hosts.get(addresses[this.turn++ % addresses.length]!, port, name);
  }

  /** @returns undefined: as many names as may be are being looked up */
  private add(name: string): Answer | undefined {
    const now = this.now();
    const { maxHosts, hostTtlMs } = this.options;
    if (this.answers.size >= maxHosts) {
      for (const [other, { until, pending }] of this.answers)
        if (!pending && until + hostTtlMs <= now) this.answers.delete(other);
    }
    if (this.answers.size >= maxHosts) return undefined;
    const answer: Answer = { addresses: [], until: 0, pending: undefined };
    this.answers.set(name, answer);
    return answer;
  }

  private lookUp(name: string, answer: Answer): Promise<void> {
    answer.pending ??= this.ask(name).then((addresses) => {
      answer.pending = undefined;
      // A failed look-up keeps the last good addresses.
      if (addresses.length > 0) answer.addresses = addresses;
      answer.until = this.now() + (addresses.length > 0 ? this.options.refreshMs : this.options.failureMs);
    });
    return answer.pending;
  }

  private ask(name: string): Promise<readonly string[]> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<readonly string[]>((done) => {
      timer = setTimeout(() => done([]), this.options.lookupTimeoutMs);
    });
    const found = this.resolve(name).then(
      ({ addresses }) => byFamily(addresses, this.options.family),
      () => [],
    );
    return Promise.race([found, late]).finally(() => clearTimeout(timer));
  }
}
