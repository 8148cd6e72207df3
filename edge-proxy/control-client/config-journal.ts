/**
 * The disk cache's file: one record a line, the first with the node and all its config, each other with what one change
 * replaced and removed. A record is the SHA-256 of (the checksum before it, its JSON) in hex, a space, JSON. So a record
 * that was cut short is found, and none can be taken out, moved or added from another file.
 */
import { RESOURCE_TYPES, type ResourceType } from '../../shared/xds/discovery.ts';

/** One accepted resource as received, with its version. */
export interface CachedResource {
  readonly name: string;
  readonly version: string;
  readonly resource: Readonly<Record<string, unknown>>;
}
export type CachedConfig = { [T in ResourceType]: CachedResource[] };
/** By name. */
export type HeldConfig = { [T in ResourceType]: Map<string, CachedResource> };
/** What one change did; types that did not change are absent. */
export type ConfigDelta = { [T in ResourceType]?: { upsert: CachedResource[]; remove: string[] } };

export interface JournalRecord {
  readonly bytes: Uint8Array;
  /** What the next record is bound to. */
  readonly checksum: string;
}

export interface Journal {
  readonly nodeId: string;
  readonly config: HeldConfig;
  /** Of the last record. */
  readonly checksum: string;
  /** Bytes of the first record, and of all. */
  readonly firstSize: number;
  readonly size: number;
  /** The last record was cut short: `config` is the state before it. */
  readonly cutShort: boolean;
}

/** The format before the journal was 1, in a file of its own. */
const FORMAT = 2;
const CHECKSUM_LENGTH = 64;
const NEWLINE = 0x0a;
const SPACE = 0x20;

export function firstRecord(nodeId: string, config: CachedConfig): Promise<JournalRecord> {
  return record('', { format: FORMAT, nodeId, config });
}

/** @param previous checksum of the record before */
export function nextRecord(previous: string, delta: ConfigDelta): Promise<JournalRecord> {
  return record(previous, delta);
}

async function record(previous: string, value: unknown): Promise<JournalRecord> {
  const json = JSON.stringify(value);
  const checksum = await sha256(new TextEncoder().encode(previous + json));
  return { bytes: new TextEncoder().encode(`${checksum} ${json}\n`), checksum };
}

/**
 * Reads the records of a file. A last one that is not whole is what a crash in the middle of a write leaves.
 * @throws Error saying what is wrong with the file; then nothing of it may be used
 */
export async function readJournal(bytes: Uint8Array): Promise<Journal> {
  const first = await readRecord(bytes, 0, '');
  if (!first) throw new Error('its checksum does not match');
  const { format, nodeId, config } = first.value as { format?: unknown; nodeId?: unknown; config?: unknown };
  if (format !== FORMAT || typeof nodeId !== 'string') throw new Error('it has another format');
  const held = heldConfig(readConfig(config));
  let { end, checksum } = first;
  while (end < bytes.length) {
    const next = await readRecord(bytes, end, checksum);
    if (!next) break;
    applyDelta(held, readDelta(next.value));
    ({ end, checksum } = next);
  }
  const newline = bytes.indexOf(NEWLINE, end);
  // A write is synced before the next one begins: only the last can have been cut short.
  if (newline >= 0 && newline < bytes.length - 1) throw new Error('its checksum does not match');
  return { nodeId, config: held, checksum, firstSize: first.end, size: end, cutShort: end < bytes.length };
}

/** @returns undefined where no whole record begins at `start` */
async function readRecord(bytes: Uint8Array, start: number, previous: string) {
  const newline = bytes.indexOf(NEWLINE, start);
  if (newline < start + CHECKSUM_LENGTH + 1 || bytes[start + CHECKSUM_LENGTH] !== SPACE) return undefined;
  const checksum = String.fromCharCode(...bytes.subarray(start, start + CHECKSUM_LENGTH));
  const json = bytes.subarray(start + CHECKSUM_LENGTH + 1, newline);
  const covered = new Uint8Array(previous.length + json.length);
  new TextEncoder().encodeInto(previous, covered);
  covered.set(json, previous.length);
  if (checksum !== (await sha256(covered))) return undefined;
  const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json)) as unknown;
  return { value, checksum, end: newline + 1 };
}

/** @throws Error naming the type whose resources are malformed */
export function readConfig(value: unknown): CachedConfig {
  const config = {} as CachedConfig;
  for (const type of RESOURCE_TYPES) {
    // Versions without the feature of a type wrote none of it.
    const isNew = type === 'virtualHosts' || type === 'hosts';
    const list = (value as { [T in ResourceType]?: unknown } | undefined)?.[type] ?? (isNew && []);
    if (!Array.isArray(list) || !list.every(isCached)) throw new Error(`its ${type} are malformed`);
    config[type] = list;
  }
  return config;
}

function readDelta(value: unknown): ConfigDelta {
  const delta: ConfigDelta = {};
  for (const type of RESOURCE_TYPES) {
    const change = (value as { [T in ResourceType]?: unknown })[type];
    if (change === undefined) continue;
    const { upsert, remove } = change as { upsert?: unknown; remove?: unknown };
    const good = Array.isArray(upsert) && upsert.every(isCached) && Array.isArray(remove) && remove.every(isText);
    if (!good) throw new Error(`its ${type} are malformed`);
    delta[type] = { upsert, remove };
  }
  return delta;
}

export function heldConfig(config: CachedConfig): HeldConfig {
  const held = {} as HeldConfig;
  for (const type of RESOURCE_TYPES) held[type] = new Map(config[type].map((entry) => [entry.name, entry]));
  return held;
}

export function applyDelta(held: HeldConfig, delta: ConfigDelta): void {
  for (const type of RESOURCE_TYPES) {
    for (const name of delta[type]?.remove ?? []) held[type].delete(name);
    for (const entry of delta[type]?.upsert ?? []) held[type].set(entry.name, entry);
  }
}

/** What leads from `held` to `config`; a resource counts as changed when it is another object. @returns undefined: nothing */
export function deltaTo(held: HeldConfig, config: CachedConfig): ConfigDelta | undefined {
  const delta: ConfigDelta = {};
  for (const type of RESOURCE_TYPES) {
    const before = held[type];
    const upsert = config[type].filter((entry) => before.get(entry.name) !== entry);
    const added = upsert.reduce((count, { name }) => (before.has(name) ? count : count + 1), 0);
    const gone = before.size + added > config[type].length;
    const names = gone ? new Set(config[type].map(({ name }) => name)) : undefined;
    const remove = names ? [...before.keys()].filter((name) => !names.has(name)) : [];
    if (upsert.length + remove.length > 0) delta[type] = { upsert, remove };
  }
  return Object.keys(delta).length > 0 ? delta : undefined;
}

const isText = (value: unknown): value is string => typeof value === 'string';

function isCached(value: unknown): value is CachedResource {
  const { name, version, resource } = (value ?? {}) as { [field: string]: unknown };
  return isText(name) && isText(version) && typeof resource === 'object' && resource !== null;
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', bytes);
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
