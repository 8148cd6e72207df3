/** Where a process and its descendants listen for other hosts (Linux: proc(5), /proc/PID/net/tcp). */
import { readdir, readFile, readlink } from 'node:fs/promises';

export interface ListeningSocket {
  readonly inode: string;
  /** `0.0.0.0:80`, `[::]:80` */
  readonly at: string;
}

const LISTEN = '0A';
const COLUMN = { address: 1, state: 3, inode: 9 };

/**
 * The sockets in the text of /proc/PID/net/tcp or tcp6 that listen on other addresses than those of loopback.
 * Addresses are words of 32 bits in the byte order of the machine, which is little-endian wherever the runtimes run.
 */
export function openSockets(text: string): ListeningSocket[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const columns = line.trim().split(/\s+/);
      const [address = '', port = ''] = columns[COLUMN.address]?.split(':') ?? [];
      const inode = columns[COLUMN.inode];
      if (columns[COLUMN.state] !== LISTEN || inode === undefined) return [];
      const bytes = bytesOf(address);
      if (isLoopback(bytes)) return [];
      return [{ inode, at: `${textOf(bytes)}:${Number.parseInt(port, 16)}` }];
    });
}

/** Addresses at which the process or one of its descendants can be reached from other hosts; empty where there is no /proc, or the process is in a network namespace of its own. */
export async function openPorts(pid: number): Promise<string[]> {
  const [own, its] = await Promise.all(['self', pid].map((of) => readlink(`/proc/${of}/ns/net`).catch(() => '')));
  if (own !== its) return [];
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((table) => readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => '')),
  );
  const open = new Map(tables.flatMap(openSockets).map(({ inode, at }) => [`socket:[${inode}]`, at]));
  const found = new Set<string>();
  if (open.size === 0) return [];
  const waiting = [pid];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    waiting.push(...(await childrenOf(next)));
    for (const link of await descriptorsOf(next)) {
      const at = open.get(link);
      if (at !== undefined) found.add(at);
    }
  }
  return [...found].sort();
}

/** A child belongs to the thread that started it. */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  );
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

async function descriptorsOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links: string[] = [];
  // One after the other: of ten thousand at once, each would hold memory.
  for (const name of names) links.push(await readlink(`/proc/${pid}/fd/${name}`).catch(() => ''));
  return links;
}

function bytesOf(address: string): number[] {
  const words = address.match(/.{8}/g) ?? [];
  return words.flatMap((word) => (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)));
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

function isLoopback(bytes: readonly number[]): boolean {
  if (bytes.length === 4) return bytes[0] === 127;
  if (MAPPED.every((byte, at) => bytes[at] === byte)) return bytes[MAPPED.length] === 127;
  return bytes.every((byte, at) => byte === (at === 15 ? 1 : 0));
}

function textOf(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at]! << 8) | bytes[2 * at + 1]!).toString(16));
  return `[${groups.every((group) => group === '0') ? '::' : groups.join(':')}]`;
}
