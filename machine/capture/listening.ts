/** Which ports of this network namespace have a listener, as the kernel lists them. */
import { readFileSync } from 'node:fs';
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';

export interface Listening {
  readonly outbound: boolean;
  readonly inbound: boolean;
  readonly dns: boolean;
}

/** @param dnsPort of the name server; undefined: none is wanted */
export function listening(dnsPort: number | undefined): Listening {
  const tcp = portsOf(['tcp', 'tcp6'], LISTEN);
  return {
    outbound: tcp.has(CAPTURE_PORTS.outbound),
    inbound: tcp.has(CAPTURE_PORTS.inbound),
    dns: dnsPort !== undefined && portsOf(['udp', 'udp6'], UNCONNECTED).has(dnsPort),
  };
}

const LISTEN = '0A';
const UNCONNECTED = '07';

function portsOf(tables: readonly string[], state: string): Set<number> {
  const ports = new Set<number>();
  for (const table of tables)
    for (const line of readTable(table)) {
      // sl local_address rem_address st …, an address as HEX:PORT.
      const [, local = '', , st] = line.trim().split(/\s+/);
      if (st === state) ports.add(Number.parseInt(local.split(':')[1] ?? '', 16));
    }
  return ports;
}

/** A host without IPv6 has no table of it. */
function readTable(name: string): string[] {
  try {
    return readFileSync(`/proc/self/net/${name}`, 'utf8').split('\n').slice(1);
  } catch {
    return [];
  }
}
