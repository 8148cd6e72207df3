/** Which descriptors of this process are sockets that it serves, and at which address (Linux: proc(5)). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { parseIp } from '../../../shared/match/cidr.ts';

export type Transport = 'tcp' | 'udp';

export interface HeldSocket {
  readonly descriptor: number;
  /** As `socketKey`. */
  readonly key: string;
}

/** States in /proc/net: LISTEN of TCP, and unconnected of UDP. */
const SERVES: Readonly<Record<Transport, string>> = { tcp: '0A', udp: '07' };
const COLUMN = { address: 1, state: 3, inode: 9 };
/** Of /proc/net/unix: __SO_ACCEPTCON. */
const ACCEPTS = 0x10000;

/** One spelling of a transport, IP address and port. @returns undefined where the address is none */
export function socketKey(transport: Transport, address: string, port: number): string | undefined {
  const ip = parseIp(address);
  return ip && keyOf(transport, ip.words, port);
}

const keyOf = (transport: Transport, words: readonly number[], port: number): string =>
  `${transport}/${words.join('.')}/${port}`;

/** TCP sockets that listen and UDP sockets without a peer, by descriptor; empty where there is no /proc. */
export function heldSockets(): HeldSocket[] {
  const inodes = new Map<string, string>();
  for (const transport of ['tcp', 'udp'] as const)
    for (const table of [transport, `${transport}6`])
      for (const [inode, key] of served(transport, read(`/proc/self/net/${table}`))) inodes.set(inode, key);
  return descriptors().flatMap(({ descriptor, inode }) => {
    const key = inodes.get(inode);
    return key === undefined ? [] : [{ descriptor, key }];
  });
}

/** Paths of the Unix domain sockets on which this process listens. */
export function heldUnixSockets(): string[] {
  const own = new Set(descriptors().map(({ inode }) => inode));
  return read('/proc/self/net/unix')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      // Num RefCount Protocol Flags Type St Inode Path
      const [, , , flags = '0', , , inode = '', path] = line.trim().split(/\s+/);
      return path !== undefined && own.has(inode) && Number.parseInt(flags, 16) & ACCEPTS ? [path] : [];
    });
}

/** Inode -> key, of the text of /proc/net/tcp and the like. */
export function served(transport: Transport, text: string): [string, string][] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line): [string, string][] => {
      const columns = line.trim().split(/\s+/);
      const [address = '', port = ''] = columns[COLUMN.address]?.split(':') ?? [];
      const inode = columns[COLUMN.inode];
      if (inode === undefined || columns[COLUMN.state] !== SERVES[transport]) return [];
      return [[inode, keyOf(transport, wordsOf(address), Number.parseInt(port, 16))]];
    });
}

/** Words of 32 bits in the byte order of the machine, which is little-endian wherever the runtimes run. */
function wordsOf(address: string): number[] {
  const swapped = (word: string) => Number.parseInt((word.match(/../g) ?? []).reverse().join(''), 16);
  return (address.match(/.{8}/g) ?? []).map(swapped);
}

function descriptors(): { readonly descriptor: number; readonly inode: string }[] {
  return names('/proc/self/fd').flatMap((name) => {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(link(`/proc/self/fd/${name}`)) ?? [];
    return inode === undefined ? [] : [{ descriptor: Number(name), inode }];
  });
}

const orNothing = <T>(read: () => T, nothing: T): T => {
  try {
    return read();
  } catch {
    return nothing;
  }
};
const read = (path: string): string => orNothing(() => readFileSync(path, 'utf8'), '');
const names = (path: string): string[] => orNothing(() => readdirSync(path), []);
/** A descriptor may be closed meanwhile. */
const link = (path: string): string => orNothing(() => readlinkSync(path), '');
