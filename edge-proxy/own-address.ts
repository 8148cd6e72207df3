/**
 * The address of the workload with `--ip auto`: the one from which the control plane is reached. It stays for as long as the
 * host has it, so that a control plane that is reached another way does not change it.
 */
export class OwnAddress {
  private readonly localAddresses: () => readonly string[];
  private address: string | undefined;

  /** @param localAddresses of the host's interfaces, now */
  constructor(localAddresses: () => readonly string[]) {
    this.localAddresses = localAddresses;
  }

  /** Before a connection was made: the first address of the host. */
  get current(): string {
    return this.address ?? this.localAddresses().find(isReachable) ?? '127.0.0.1';
  }

  /** The host has the address. */
  get isHeld(): boolean {
    return this.address !== undefined && (isLoopback(this.address) || this.localAddresses().includes(this.address));
  }

  /** A connection to the control plane was made from this address. */
  observed(localAddress: string): void {
    if (localAddress !== '' && !this.isHeld) this.address = plain(localAddress);
  }
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');
const isReachable = (address: string): boolean => !isLoopback(address) && !/^(fe80:|169\.254\.)/i.test(address);
/** Without the zone of an IPv6 address, and IPv4 as itself. */
const plain = (address: string): string => address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
