/**
 * The store on etcd, for several control planes at once. A resource is one key; its resourceVersion is the key's mod revision,
 * which rises over all kinds. Every write is one transaction that compares the mod revision it read, every read is
 * linearizable, so that neither depends on what another control plane or a member that is behind believes.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Dump } from '../dump/dump.ts';
import {
  type Author,
  HISTORY,
  type HistoryEntry,
  type HistoryOperation,
  type HistorySettings,
  isHistoric,
} from '../history/history.ts';
import { ResourceCodec } from '../sealing/resource-codec.ts';
import type { Sealer } from '../sealing/sealer.ts';
import { compareKeys, selects } from '../selects.ts';
import { checkPrecondition, describeKey, stampCreated, stampDeleted, stampStatus, stampUpdated } from '../stamp.ts';
import { notLeading } from '../state/leadership.ts';
import type { Fence } from '../state/state.ts';
import {
  type Precondition,
  type ResourceKey,
  type ResourceStore,
  type Selection,
  type StatusWrite,
  StoreError,
  type WatchEvent,
} from '../store.ts';
import { type KeyValue, numberOf, type RangeAnswer, type TxnAnswer } from './api.ts';
import { Compactor } from './compactor.ts';
import { dumpPrefix, restoredKey } from './dump.ts';
import { EtcdError } from './etcd-error.ts';
import { EventFeed, type FollowEvents, type Followed } from './feed.ts';
import { type Change, follow } from './follow.ts';
import { type Called, EtcdGateway, type EtcdSettings } from './gateway.ts';
import { EtcdHistory } from './history.ts';
import { decodeResource, encodeResource, fromBase64, ResourceKeys, toBase64 } from './keys.ts';
import { resealPrefix } from './reseal.ts';

export interface EtcdStoreOptions {
  /** Of all keys; starts with '/'. */
  prefix: string;
  /** Revisions kept for watchers; default: defaultHistoryLimit. */
  historyLimit?: number;
  /** Of Secrets. Default: none. */
  sealer?: Sealer;
  /** Of resources; default: HISTORY. */
  history?: HistorySettings;
  now?: () => Date;
  newUid?: () => string;
  /** Called with what the store recovers from by itself, such as a watch that moves to another member. */
  onTrouble?: (error: unknown) => void;
}

/** A store that several control planes share. */
export interface FencedStore extends ResourceStore {
  /** The same store, whose writes require what `fence` returns: else `unavailable`, and nothing is written. */
  withFence(fence: () => Fence | undefined): ResourceStore;
}

/** Raised with every change of how keys and values are written. */
const FORMAT = 1;
const DEFAULT_HISTORY = 10_000;
const KEYS_PER_PAGE = 500;
const RECENT_EVENTS = 1024;
const EVENTS_PER_READ = 128;
/** A write whose precondition is only that nothing changed since it read is attempted again so often. */
const WRITE_ATTEMPTS = 20;

/** What a write adds to the history. */
interface NewEntry {
  operation: HistoryOperation;
  resource: Resource;
  author: Author | undefined;
}

interface Stored {
  resource: Resource;
  /** Base64. */
  value: string;
  revision: number;
}

/**
 * @throws StoreError unavailable: no member answers, credentials are refused, the prefix was written by a newer version, or is
 * held by another process
 */
export async function openEtcdStore(settings: EtcdSettings, options: EtcdStoreOptions): Promise<FencedStore> {
  const gateway = new EtcdGateway(settings);
  try {
    const { origin, revision } = await prepare(gateway, `${options.prefix}/format`);
    const restored = await restoredAt(gateway, options.prefix);
    await resealPrefix(gateway, options.prefix, new ResourceCodec(options.sealer));
    return new EtcdStore(gateway, options, { origin, restored, revision });
  } catch (error) {
    gateway.close();
    throw asStoreError(error);
  }
}

/** @returns the revision that the prefix began with, and the current one */
async function prepare(gateway: EtcdGateway, name: string): Promise<{ origin: number; revision: number }> {
  const key = toBase64(name);
  const { answer } = await gateway.call<TxnAnswer>('/v3/kv/txn', {
    compare: [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
    success: [{ request_put: { key, value: toBase64(String(FORMAT)) } }],
    failure: [{ request_range: { key } }],
  });
  const revision = numberOf(answer.header.revision);
  if (answer.succeeded) return { origin: revision, revision };
  const stored = answer.responses?.[0]?.response_range?.kvs?.[0];
  const found = fromBase64(stored?.value ?? '');
  if (found !== String(FORMAT))
    throw new StoreError('unavailable', `etcd ${name}: format "${found}" is not known here (this version: ${FORMAT})`);
  return { origin: numberOf(stored?.create_revision), revision };
}

/** The revision of the last load of a dump; 0: there was none. */
async function restoredAt(gateway: EtcdGateway, prefix: string): Promise<number> {
  const { answer } = await gateway.call<RangeAnswer>('/v3/kv/range', { key: toBase64(restoredKey(prefix)) });
  return numberOf(answer.kvs?.[0]?.mod_revision);
}

class EtcdStore implements FencedStore {
  private readonly gateway: EtcdGateway;
  private readonly keys: ResourceKeys;
  private readonly codec: ResourceCodec;
  private readonly probeKey: string;
  private readonly prefix: string;
  private readonly origin: number;
  private readonly restored: number;
  /** What every write requires besides. Default: nothing. */
  private readonly fence: () => Fence | undefined = () => undefined;
  private readonly now: () => Date;
  private readonly newUid: () => string;
  private readonly feed: EventFeed;
  private readonly compactor: Compactor;
  private readonly entries: EtcdHistory;
  private readonly writing = new Set<Promise<unknown>>();
  private closed = false;

  constructor(
    gateway: EtcdGateway,
    options: EtcdStoreOptions,
    at: { origin: number; restored: number; revision: number },
  ) {
    this.gateway = gateway;
    this.keys = new ResourceKeys(options.prefix);
    this.codec = new ResourceCodec(options.sealer);
    this.probeKey = toBase64(`${options.prefix}/format`);
    this.prefix = options.prefix;
    this.origin = at.origin;
    this.restored = at.restored;
    this.now = options.now ?? (() => new Date());
    this.newUid = options.newUid ?? (() => crypto.randomUUID());
    const onTrouble = options.onTrouble ?? (() => {});
    this.compactor = new Compactor(gateway, options.historyLimit ?? DEFAULT_HISTORY, onTrouble);
    const { prefix, history = HISTORY } = options;
    this.entries = new EtcdHistory(gateway, { prefix, settings: history, codec: this.codec, now: this.now, onTrouble });
    this.feed = new EventFeed({
      follow: this.follow,
      // What watchers of a control plane that was restarted ask for is mostly in memory then.
      start: Math.max(at.origin, at.revision - RECENT_EVENTS),
      limit: RECENT_EVENTS,
      restartAt: () => this.revision(),
      onTrouble,
    });
  }

  withFence(fence: () => Fence | undefined): ResourceStore {
    // The same store in all but this.
    return Object.assign(Object.create(EtcdStore.prototype) as object, this, { fence }) as EtcdStore;
  }

  async get(key: ResourceKey): Promise<Resource | undefined> {
    return (await this.reading(() => this.read(key)))?.resource;
  }

  async list(selection: Selection): Promise<{ items: Resource[]; revision: number }> {
    const wanted = structuredClone(selection);
    const { kvs, revision } = await this.reading(() => this.snapshot(wanted));
    const found = kvs
      .map((kv) => ({ key: this.keys.keyOf(fromBase64(kv.key)), kv }))
      .filter(({ key }) => selects(wanted, key))
      .sort((left, right) => compareKeys(left.key, right.key));
    return { items: found.map(({ key, kv }) => this.storedOf(key, kv).resource), revision };
  }

  async revision(): Promise<number> {
    const range = { key: this.probeKey, count_only: true };
    const { answer } = await this.reading(() => this.gateway.call<RangeAnswer>('/v3/kv/range', range));
    return numberOf(answer.header.revision);
  }

  async history(key: ResourceKey): Promise<HistoryEntry[]> {
    return (await this.reading(() => this.entries.list(key))).reverse();
  }

  async dump(): Promise<Dump> {
    return this.reading(() => dumpPrefix(this.gateway, this.prefix, this.codec));
  }

  create(key: ResourceKey, resource: Resource, author?: Author): Promise<Resource> {
    const copy = structuredClone(resource);
    return this.write(async () => {
      const created = stampCreated(key, copy, { revision: 0, now: this.now(), uid: this.newUid() });
      const value = encodeResource(this.codec, key, created);
      const { answer, repeated } = await this.transact(key, 0, value, {
        operation: 'Create',
        resource: created,
        author,
      });
      const revision = answer.succeeded
        ? numberOf(answer.header.revision)
        : this.ownRevision(key, answer, repeated, value);
      if (revision === undefined) throw new StoreError('already-exists', `${describeKey(key)} already exists`);
      return decodeResource(this.codec, key, value, revision);
    });
  }

  update(key: ResourceKey, resource: Resource, author?: Author): Promise<Resource> {
    const copy = structuredClone(resource);
    return this.write(() => this.change(key, (stored) => stampUpdated(key, stored, copy, 0), { author }));
  }

  updateStatus(key: ResourceKey, status: unknown, write?: StatusWrite): Promise<Resource> {
    const copy = structuredClone(status);
    return this.write(() => this.change(key, (stored) => stampStatus(key, stored, copy, { revision: 0, write })));
  }

  delete(key: ResourceKey, precondition?: Precondition, author?: Author): Promise<Resource> {
    return this.write(async () => {
      let stored = await this.mustRead(key);
      for (let attempt = 0; attempt < WRITE_ATTEMPTS; attempt++) {
        checkPrecondition(key, stored.resource, precondition);
        const deletion = { operation: 'Delete', resource: stored.resource, author } as const;
        const { answer, repeated } = await this.transact(key, stored.revision, undefined, deletion);
        const now = this.currentOf(key, answer);
        // An attempt that was not answered has deleted it, or another writer has: it is absent, as was asked.
        if (answer.succeeded || (repeated && !now))
          return stampDeleted(stored.resource, numberOf(answer.header.revision));
        if (!now) throw notFound(key);
        stored = now;
      }
      throw contended(key);
    });
  }

  async *watch(
    selection: Selection,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent, void, void> {
    const wanted = structuredClone(selection);
    if (signal.aborted) return;
    if (fromRevision < this.restored)
      throw new StoreError(
        'gone',
        `the store was restored at revision ${this.restored}, after ${fromRevision}: list again`,
      );
    // There were no events before the prefix began, whatever else etcd held.
    let cursor = Math.max(fromRevision, this.origin);
    if (cursor > this.feed.reached) await this.checkReached(cursor);
    let resume = () => {};
    const wake = () => resume();
    const stopWaking = this.feed.onChange(wake);
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted) {
        this.checkOpen();
        this.compactor.check(cursor);
        if (!this.feed.covers(cursor)) {
          for await (const event of this.eventsAfter(cursor, signal)) {
            cursor = event.revision;
            if (selects(wanted, event.key)) yield event;
            if (this.feed.covers(cursor)) break;
          }
          continue;
        }
        const { events, reached } = this.feed.after(cursor, wanted, EVENTS_PER_READ);
        for (const event of events) {
          if (signal.aborted) return;
          yield event;
          cursor = event.revision;
        }
        cursor = Math.max(cursor, reached);
        // What arrived while this yielded is found by the next read, before any wait.
        if (events.length === 0)
          await new Promise<void>((resolve) => {
            resume = resolve;
          });
      }
    } finally {
      stopWaking();
      signal.removeEventListener('abort', wake);
    }
  }

  /** Writes already accepted are answered first. Watches end with `unavailable`. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.allSettled(this.writing);
    this.feed.close();
    this.entries.close();
    this.gateway.close();
  }

  /** All events after `after`, from etcd itself. */
  private readonly follow: FollowEvents = (after, options) => {
    const range = this.keys.rangeOf({});
    return this.eventsOf(follow(this.gateway, range, after, options));
  };

  private async *eventsOf(groups: AsyncIterable<{ changes: Change[]; reached: number }>): AsyncGenerator<Followed> {
    for await (const { changes, reached } of groups) {
      const events = changes.map((change) => this.eventOf(change));
      this.compactor.saw(reached);
      yield { events, reached };
    }
  }

  private eventOf({ key: name, value, previous, isNew, revision }: Change): WatchEvent {
    const key = this.keys.keyOf(fromBase64(name));
    if (value !== undefined)
      return {
        type: isNew ? 'ADDED' : 'MODIFIED',
        key,
        resource: decodeResource(this.codec, key, value, revision),
        revision,
      };
    // etcd has no longer what was deleted: only when it was compacted meanwhile.
    if (previous === undefined) throw new EtcdError('compacted', `etcd: revisions before ${revision} are compacted`);
    return { type: 'DELETED', key, resource: decodeResource(this.codec, key, previous, revision), revision };
  }

  /** Events that are older than the feed. @throws StoreError gone */
  private async *eventsAfter(after: number, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const ended = new AbortController();
    const end = () => ended.abort();
    signal.addEventListener('abort', end);
    try {
      for await (const { events } of this.follow(after, { signal: ended.signal })) yield* events;
      if (!signal.aborted) this.checkOpen();
    } catch (error) {
      throw asStoreError(error);
    } finally {
      signal.removeEventListener('abort', end);
      ended.abort();
    }
  }

  private async checkReached(cursor: number): Promise<void> {
    const revision = await this.revision();
    if (cursor > revision)
      throw new StoreError('gone', `history holds revisions up to ${revision}, not ${cursor}: list again`);
  }

  /** All selected keys at one revision. */
  private async snapshot(selection: Selection): Promise<{ kvs: KeyValue[]; revision: number }> {
    const range = this.keys.rangeOf(selection);
    const kvs: KeyValue[] = [];
    let key = range.key;
    let revision = 0;
    for (;;) {
      const page = { key, range_end: range.range_end, limit: String(KEYS_PER_PAGE), revision: String(revision) };
      const { answer } = await this.gateway.call<RangeAnswer>('/v3/kv/range', page);
      revision ||= numberOf(answer.header.revision);
      for (const kv of answer.kvs ?? []) kvs.push(kv);
      if (!answer.more || !answer.kvs?.length) return { kvs, revision };
      key = Buffer.concat([Buffer.from(answer.kvs.at(-1)!.key, 'base64'), Buffer.of(0)]).toString('base64');
    }
  }

  private async read(key: ResourceKey): Promise<Stored | undefined> {
    const range = { key: toBase64(this.keys.nameOf(key)) };
    const { answer } = await this.gateway.call<RangeAnswer>('/v3/kv/range', range);
    const kv = answer.kvs?.[0];
    return kv && this.storedOf(key, kv);
  }

  private async mustRead(key: ResourceKey): Promise<Stored> {
    const stored = await this.read(key);
    if (!stored) throw notFound(key);
    return stored;
  }

  /** Reads, computes what to write, and writes it unless the resource has changed meanwhile: then it begins again. */
  private async change(
    key: ResourceKey,
    next: (stored: Resource) => Resource | undefined,
    by?: { author: Author | undefined },
  ): Promise<Resource> {
    let stored = await this.mustRead(key);
    for (let attempt = 0; attempt < WRITE_ATTEMPTS; attempt++) {
      const resource = next(stored.resource);
      if (!resource) return stored.resource;
      const value = encodeResource(this.codec, key, resource);
      const historic = by && isHistoric(stored.resource, resource);
      const entry = historic ? { operation: 'Update' as const, resource, author: by.author } : undefined;
      const { answer, repeated } = await this.transact(key, stored.revision, value, entry);
      const revision = answer.succeeded
        ? numberOf(answer.header.revision)
        : this.ownRevision(key, answer, repeated, value);
      if (revision !== undefined) {
        if (entry) this.entries.updated(key);
        return decodeResource(this.codec, key, value, revision);
      }
      const now = this.currentOf(key, answer);
      if (!now) throw notFound(key);
      stored = now;
    }
    throw contended(key);
  }

  /** Writes `value`, or deletes where there is none, if the key's mod revision is `revision` (0: absent); else reads it. */
  private async transact(
    key: ResourceKey,
    revision: number,
    value: string | undefined,
    entry: NewEntry | undefined,
  ): Promise<Called<TxnAnswer>> {
    const recorded = entry && this.entries.put(key, entry.operation, entry.resource, entry.author);
    const name = toBase64(this.keys.nameOf(key));
    const fence = this.fence();
    const called = await this.gateway.call<TxnAnswer>('/v3/kv/txn', {
      compare: [
        { key: name, target: 'MOD', result: 'EQUAL', mod_revision: String(revision) },
        ...(fence
          ? [{ key: fence.key, target: 'CREATE', result: 'EQUAL', create_revision: String(fence.revision) }]
          : []),
      ],
      success: [
        value === undefined ? { request_delete_range: { key: name } } : { request_put: { key: name, value } },
        ...(recorded ? [{ request_put: recorded }] : []),
      ],
      failure: [{ request_range: { key: name } }, ...(fence ? [{ request_range: { key: fence.key } }] : [])],
    });
    if (fence && !called.answer.succeeded) checkFence(called.answer, fence);
    this.compactor.saw(numberOf(called.answer.header.revision));
    return called;
  }

  private storedOf(key: ResourceKey, kv: KeyValue): Stored {
    const { value = '', mod_revision } = kv;
    const revision = numberOf(mod_revision);
    return { resource: decodeResource(this.codec, key, value, revision), value, revision };
  }

  /** What a transaction found that did not write. */
  private currentOf(key: ResourceKey, answer: TxnAnswer): Stored | undefined {
    const kv = answer.responses?.[0]?.response_range?.kvs?.[0];
    return kv && this.storedOf(key, kv);
  }

  /** Where an attempt that was not answered has written: its revision. A value has a uid that only this write has, or is the same. */
  private ownRevision(key: ResourceKey, answer: TxnAnswer, repeated: boolean, value: string): number | undefined {
    const now = repeated ? this.currentOf(key, answer) : undefined;
    return now?.value === value ? now.revision : undefined;
  }

  private checkOpen(): void {
    if (this.closed) throw new StoreError('unavailable', 'the store is closed');
  }

  private async reading<T>(read: () => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      return await read();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  private async write(run: () => Promise<Resource>): Promise<Resource> {
    this.checkOpen();
    const written = run();
    this.writing.add(written);
    try {
      return await written;
    } catch (error) {
      throw asStoreError(error);
    } finally {
      this.writing.delete(written);
    }
  }
}

/** @throws StoreError where the write was refused because another control plane leads */
function checkFence(answer: TxnAnswer, { revision }: Fence): void {
  const held = answer.responses?.[1]?.response_range?.kvs?.[0];
  if (numberOf(held?.create_revision) !== revision) throw notLeading();
}

const notFound = (key: ResourceKey) => new StoreError('not-found', `${describeKey(key)} not found`);
const contended = (key: ResourceKey) =>
  new StoreError('conflict', `${describeKey(key)} changed ${WRITE_ATTEMPTS} times while it was written`);

function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof EtcdError && error.code === 'compacted')
    return new StoreError('gone', `${reason}: list again`, { cause: error });
  return new StoreError('unavailable', `the store failed: ${reason}`, { cause: error });
}
