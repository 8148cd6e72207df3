/**
 * Listeners that bind no port: another listener accepts captured connections and hands each to the one at the address
 * that it was sent to (Envoy's use_original_dst and bind_to_port).
 */
import { parseIp } from '../../shared/match/cidr.ts';

export interface ListenerPlace {
  readonly address: string;
  readonly port: number;
}

interface AtPort<Listener> {
  /** By the addresses that are no wildcard. */
  readonly exact: Map<string, Listener>;
  any4: Listener | undefined;
  any6: Listener | undefined;
}

type Wildcard = 'any4' | 'any6';
const WILDCARDS: Readonly<Record<string, Wildcard>> = { '0.0.0.0': 'any4', '0:0:0:0': 'any6' };

/** By port, then by address: most ports have a wildcard listener alone, which costs one look-up. */
export class CapturedListeners<Listener> {
  private readonly byPort = new Map<number, AtPort<Listener>>();

  /** @returns removes it @throws Error where another listener has the address */
  add({ address, port }: ListenerPlace, listener: Listener): () => void {
    const ip = parseIp(address);
    if (!ip) throw new Error(`address: "${address}" is no IP address: a listener with bindToPort false needs one`);
    if (port === 0) throw new Error('address: a listener with bindToPort false needs a port');
    const at = this.byPort.get(port) ?? { exact: new Map(), any4: undefined, any6: undefined };
    const key = keyOf(address);
    const wildcard = WILDCARDS[key];
    const before = wildcard ? at[wildcard] : at.exact.get(key);
    if (before) throw new Error(`address: another listener has ${address} and port ${port}`);
    this.byPort.set(port, at);
    if (wildcard) at[wildcard] = listener;
    else at.exact.set(key, listener);
    return () => {
      if (wildcard) at[wildcard] = undefined;
      else at.exact.delete(key);
      if (at.exact.size === 0 && !at.any4 && !at.any6) this.byPort.delete(port);
    };
  }

  /**
   * As Envoy: the exact address, then the wildcard address of the family, then that of the other one.
   * @param address as the runtime reports it
   */
  find(address: string, port: number): Listener | undefined {
    const at = this.byPort.get(port);
    if (!at) return undefined;
    const exact = at.exact.size > 0 ? at.exact.get(keyOf(address)) : undefined;
    if (exact) return exact;
    return address.includes(':') ? (at.any6 ?? at.any4) : (at.any4 ?? at.any6);
  }
}

/** IPv4 addresses have one spelling; IPv6 addresses have several. */
function keyOf(address: string): string {
  return address.includes(':') ? (parseIp(address)?.words.join(':') ?? address) : address;
}
