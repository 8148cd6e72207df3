/**
 * How many connections there may be. Before the peer has proved an identity they are few, for each address and in all;
 * afterwards they count for that identity. So proxies behind one address (NAT, a load balancer) do not limit each other, and
 * a flood from there ends none of their connections.
 */
export interface ConnectionLimits {
  readonly total: number;
  /** Of one address (IPv6: of one /64) without a proved identity: handshakes, joins, probes. */
  readonly perAddress: number;
}

const CONNECTION_LIMITS: ConnectionLimits = { total: 20_000, perAddress: 1024 };

/** Of all connections, how many may be without a proved identity, and how many of one identity. */
const SHARE = { unproved: 1 / 4, identity: 1 / 4 };

/** One connection's place, from accept to close. */
export interface Place {
  /** The peer proved an identity. @returns the limit that is reached: the connection is to be closed */
  proved(identity: string): string | undefined;
  /** The connection is closed. Once. */
  leave(): void;
}

export class ConnectionCounts {
  private readonly limits: ConnectionLimits;
  private readonly ofAddress = new Map<string, number>();
  private readonly ofIdentity = new Map<string, number>();
  private total = 0;
  private unproved = 0;

  constructor(limits: Partial<ConnectionLimits> = {}) {
    this.limits = { ...CONNECTION_LIMITS, ...limits };
  }

  get open(): number {
    return this.total;
  }

  /** @returns its place, or the limit that is reached */
  enter(remoteAddress: string): Place | string {
    const { total, perAddress } = this.limits;
    const network = networkOf(remoteAddress);
    if (this.total >= total) return `the limit of ${total} connections is reached`;
    if (this.unproved >= this.share('unproved'))
      return `the limit of ${this.share('unproved')} connections without a proved identity is reached`;
    if ((this.ofAddress.get(network) ?? 0) >= perAddress)
      return `the limit of ${perAddress} connections of one address without a proved identity is reached`;
    this.total += 1;
    this.enterUnproved(network);
    let identity: string | undefined;
    return {
      proved: (proved) => {
        if (identity !== undefined) return undefined;
        if ((this.ofIdentity.get(proved) ?? 0) >= this.share('identity'))
          return `the limit of ${this.share('identity')} connections of one identity is reached`;
        identity = proved;
        this.leaveUnproved(network);
        change(this.ofIdentity, identity, 1);
        return undefined;
      },
      leave: () => {
        this.total -= 1;
        if (identity === undefined) this.leaveUnproved(network);
        else change(this.ofIdentity, identity, -1);
      },
    };
  }

  private share(of: keyof typeof SHARE): number {
    return Math.max(1, Math.floor(this.limits.total * SHARE[of]));
  }

  private enterUnproved(network: string): void {
    this.unproved += 1;
    change(this.ofAddress, network, 1);
  }

  private leaveUnproved(network: string): void {
    this.unproved -= 1;
    change(this.ofAddress, network, -1);
  }
}

function change(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

/** An IPv4 address, also one mapped to IPv6; of an IPv6 address its first 64 bits, which one host has to itself. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  if (!address.includes(':')) return address;
  const [plain = ''] = address.split('%', 1);
  const [head = '', tail] = plain.split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const all = tail === undefined ? groups : [...groups, ...Array(8 - groups.length - rest.length).fill('0'), ...rest];
  return `${all.slice(0, 4).join(':')}::/64`;
}
