/**
 * The history of resources in etcd: an entry is a key of its own, written by the transaction that writes the resource, so that its
 * create revision is the resource's: `/tulle/history/GROUP/PLURAL/NAMESPACE/NAME/TIME-OPERATION-RANDOM`.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import {
  type Author,
  type HistoryEntry,
  type HistoryOperation,
  type HistorySettings,
  hasHistory,
  kept,
  outdated,
  pruneEveryMs,
} from '../history/history.ts';
import type { ResourceCodec } from '../sealing/resource-codec.ts';
import type { ResourceKey } from '../store.ts';
import { type KeyValue, numberOf, type RangeAnswer } from './api.ts';
import type { EtcdGateway } from './gateway.ts';
import { decodeValue, encodeValue, fromBase64, ResourceKeys, rangeOf, toBase64 } from './keys.ts';

/** etcd refuses requests above 1.5 MiB; the resource itself is of the same request. Bytes. */
const MAX_REQUEST = 1_400_000;
const KEYS_PER_PAGE = 1000;
/** etcd takes 128 operations a transaction. */
const REMOVED_AT_ONCE = 100;
/** Updates of a resource after which its surplus entries are removed. */
const UPDATES_PER_PRUNE = 8;

/** What a put of a transaction needs, in base64. */
export interface EntryPut {
  key: string;
  value: string;
}

interface StoredEntry {
  /** Of an entry that was loaded; else the key's create revision is it. */
  revision?: number;
  author?: Author;
  resource?: Resource;
}

/** A key of an entry, without what it holds. */
interface EntryKey extends Pick<HistoryEntry, 'time' | 'operation'> {
  /** Base64. */
  key: string;
  revision: number;
}

export interface EtcdHistoryOptions {
  prefix: string;
  settings: HistorySettings;
  codec: ResourceCodec;
  now: () => Date;
  onTrouble: (error: unknown) => void;
}

export class EtcdHistory {
  private readonly gateway: EtcdGateway;
  private readonly options: EtcdHistoryOptions;
  private readonly keys: ResourceKeys;
  private readonly root: string;
  private readonly pruning: ReturnType<typeof setInterval> | undefined;
  /** Updates since the last prune, by the resource's name. */
  private updates = new Map<string, number>();

  constructor(gateway: EtcdGateway, options: EtcdHistoryOptions) {
    this.gateway = gateway;
    this.options = options;
    this.root = `${options.prefix}/history/`;
    this.keys = new ResourceKeys(options.prefix, 'history');
    this.pruning = setInterval(() => void this.pruneAll(), pruneEveryMs(options.settings));
    this.pruning.unref?.();
  }

  close(): void {
    clearInterval(this.pruning);
  }

  /** @returns what the transaction puts beside the resource; undefined where no history is kept */
  put(
    key: ResourceKey,
    operation: HistoryOperation,
    resource: Resource,
    author: Author | undefined,
  ): EntryPut | undefined {
    if (this.options.settings.retentionMs === 0 || !hasHistory(key)) return undefined;
    const name = `${this.options.now().getTime()}-${operation}-${crypto.randomUUID().slice(0, 8)}`;
    const { resourceVersion: _, ...metadata } = resource.metadata;
    const entry: StoredEntry = { ...(author && { author }), resource: kept({ ...resource, metadata }) };
    const value = encodeValue(this.options.codec, key, entry);
    const tooLarge = value.length * 1.5 > MAX_REQUEST;
    const small = () => encodeValue(this.options.codec, key, { ...entry, resource: undefined });
    return { key: toBase64(`${this.keys.nameOf(key)}/${name}`), value: tooLarge ? small() : value };
  }

  /** Oldest first; outdated entries are left out. @throws EtcdError */
  async list(key: ResourceKey): Promise<HistoryEntry[]> {
    const entries: HistoryEntry[] = [];
    for await (const kv of this.range(`${this.keys.nameOf(key)}/`, false))
      entries.push(entryOf(this.options.codec, key, kv));
    entries.sort((left, right) => left.revision - right.revision);
    const gone = new Set(outdated(entries, this.options.settings, this.options.now().getTime()));
    return entries.filter((entry) => !gone.has(entry));
  }

  /** After an update that has an entry: bounds what the resource has. */
  updated(key: ResourceKey): void {
    const name = this.keys.nameOf(key);
    const updates = (this.updates.get(name) ?? 0) + 1;
    this.updates.set(name, updates % UPDATES_PER_PRUNE);
    if (updates === UPDATES_PER_PRUNE) void this.prune(`${name}/`);
  }

  private pruneAll(): Promise<void> {
    this.updates = new Map();
    return this.prune(this.root);
  }

  /** Of all resources below `prefix`. Several control planes may do so at once. */
  private async prune(prefix: string): Promise<void> {
    try {
      const byResource = new Map<string, EntryKey[]>();
      for await (const kv of this.range(prefix, true)) {
        const name = fromBase64(kv.key);
        const resource = name.slice(0, name.lastIndexOf('/'));
        const found = byResource.get(resource) ?? [];
        found.push(entryKeyOf(kv));
        byResource.set(resource, found);
      }
      const now = this.options.now().getTime();
      for (const entries of byResource.values()) {
        // Entries that were loaded together have one create revision.
        entries.sort((left, right) => left.revision - right.revision || left.time - right.time);
        await this.remove(outdated(entries, this.options.settings, now));
      }
    } catch (error) {
      this.options.onTrouble(error);
    }
  }

  private async remove(entries: readonly EntryKey[]): Promise<void> {
    for (let at = 0; at < entries.length; at += REMOVED_AT_ONCE) {
      const some = entries.slice(at, at + REMOVED_AT_ONCE);
      const success = some.map(({ key }) => ({ request_delete_range: { key } }));
      await this.gateway.call('/v3/kv/txn', { success });
    }
  }

  private async *range(prefix: string, keysOnly: boolean): AsyncGenerator<KeyValue> {
    let { key, range_end } = rangeOf(prefix);
    for (;;) {
      const page = { key, range_end, limit: String(KEYS_PER_PAGE), keys_only: keysOnly };
      const { answer } = await this.gateway.call<RangeAnswer>('/v3/kv/range', page);
      yield* answer.kvs ?? [];
      if (!answer.more || !answer.kvs?.length) return;
      key = Buffer.concat([Buffer.from(answer.kvs.at(-1)!.key, 'base64'), Buffer.of(0)]).toString('base64');
    }
  }
}

/** Of an entry that another store has written. */
export function historyPut(codec: ResourceCodec, keys: ResourceKeys, key: ResourceKey, entry: HistoryEntry): EntryPut {
  const { revision, time, operation, author, resource } = entry;
  const stored: StoredEntry = { revision, ...(author && { author }), ...(resource && { resource }) };
  const name = `${keys.nameOf(key)}/${time}-${operation}-${crypto.randomUUID().slice(0, 8)}`;
  return { key: toBase64(name), value: encodeValue(codec, key, stored) };
}

function entryKeyOf({ key, create_revision }: KeyValue): EntryKey {
  const name = fromBase64(key);
  const [time = '', operation = ''] = name.slice(name.lastIndexOf('/') + 1).split('-');
  return { key, revision: numberOf(create_revision), time: Number(time), operation: operation as HistoryOperation };
}

/** @param kv of an entry */
export function entryOf(codec: ResourceCodec, key: ResourceKey, kv: KeyValue): HistoryEntry {
  const { time, operation, ...at } = entryKeyOf(kv);
  const { author, resource, revision = at.revision } = decodeValue<StoredEntry>(codec, key, kv.value ?? '');
  const metadata = resource && { ...resource.metadata, resourceVersion: String(revision) };
  return {
    ...{ revision, time, operation },
    ...(author && { author }),
    ...(resource && metadata && { resource: { ...resource, metadata } }),
  };
}
