/**
 * Consistent hashing as Envoy does it, so that a client keeps its endpoint whichever proxy it comes through: the ring of
 * RING_HASH (ketama) and the table of MAGLEV. Keys are the endpoints' `address:port`, hashed by xxHash64.
 */
import type { Endpoint } from '../cluster.ts';
import type { Part } from './priority-set.ts';
import { type Hash64, modulo, xxHash64 } from './xx-hash.ts';

/** @param attempt 0, then 1 … for another endpoint than the one given before */
export type HashTable = (hash: Hash64, attempt: number) => Endpoint;

export type HashKey = (host: Endpoint) => string;

export interface WeighedHost {
  readonly host: Endpoint;
  /** All together are 1. */
  readonly weight: number;
}

/** The share of each host in its locality, and of the locality in its priority. */
export function normalizedWeights(parts: readonly Part[]): WeighedHost[] {
  const total = parts.reduce((sum, part) => sum + part.weight, 0);
  return parts.flatMap(({ hosts, weight }) => {
    const sum = hosts.reduce((weights, host) => weights + host.weight, 0);
    return hosts.map((host) => ({ host, weight: (host.weight * (weight / total)) / sum }));
  });
}

/** @returns undefined for no hosts */
export function ringTable(
  hosts: readonly WeighedHost[],
  keyOf: HashKey,
  minimumSize: number,
  maximumSize: number,
): HashTable | undefined {
  if (hosts.length === 0) return undefined;
  const least = hosts.reduce((min, { weight }) => Math.min(min, weight), 1);
  // So large that the host of the least weight still has a whole number of places.
  const scale = Math.min(Math.ceil(least * minimumSize) / least, maximumSize);
  const entries: { hash: Hash64; host: Endpoint }[] = [];
  let target = 0;
  for (const { host, weight } of hosts) {
    const key = keyOf(host);
    target += scale * weight;
    for (let i = 0; entries.length < target; i++) entries.push({ hash: xxHash64(`${key}_${i}`), host });
  }
  entries.sort((a, b) => a.hash.hi - b.hash.hi || a.hash.lo - b.hash.lo);
  const high = Uint32Array.from(entries, ({ hash }) => hash.hi);
  const low = Uint32Array.from(entries, ({ hash }) => hash.lo);
  const places = entries.map(({ host }) => host);
  return (hash, attempt) => places[(firstAtLeast(high, low, hash) + attempt) % places.length]!;
}

/** The first place on the ring at or after `hash`; behind the last comes the first. */
function firstAtLeast(high: Uint32Array, low: Uint32Array, hash: Hash64): number {
  let from = 0;
  let to = high.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const h = high[middle]!;
    if (h < hash.hi || (h === hash.hi && low[middle]! < hash.lo)) from = middle + 1;
    else to = middle;
  }
  return from === high.length ? 0 : from;
}

/** @param size a prime. @returns undefined for no hosts */
export function maglevTable(hosts: readonly WeighedHost[], keyOf: HashKey, size: number): HashTable | undefined {
  if (hosts.length === 0) return undefined;
  const most = hosts.reduce((max, { weight }) => Math.max(max, weight), 0);
  // In the order of their keys, so that every proxy fills the table alike.
  const entries = hosts
    .map(({ host, weight }) => ({ host, weight, key: keyOf(host), target: 0, at: 0, skip: 0 }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  for (const entry of entries) {
    entry.at = modulo(xxHash64(entry.key), size);
    entry.skip = modulo(xxHash64(entry.key, 1), size - 1) + 1;
  }
  const table = new Int32Array(size).fill(-1);
  let filled = 0;
  for (let round = 1; filled < size; round++) {
    for (let i = 0; i < entries.length && filled < size; i++) {
      const entry = entries[i]!;
      // A host of half the greatest weight takes a place every other round.
      if (round * entry.weight < entry.target) continue;
      entry.target += most;
      while (table[entry.at] !== -1) entry.at = (entry.at + entry.skip) % size;
      table[entry.at] = i;
      filled++;
    }
  }
  return (hash, attempt) => entries[table[modulo(attempt === 0 ? hash : mutated(hash, attempt), size)]!]!.host;
}

/** Envoy's change of the hash for another attempt: its bits flipped by minus the attempt. */
function mutated(hash: Hash64, attempt: number): Hash64 {
  return { hi: (hash.hi ^ 0xffffffff) >>> 0, lo: (hash.lo ^ -attempt) >>> 0 };
}

export function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}
