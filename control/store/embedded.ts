/**
 * The semantics of ResourceStore once, over a synchronous backend in this process (memory, SQLite).
 *
 * Group commit: writes that arrive together are one transaction, with one fsync for all of them; each is answered when it is
 * durable. Watchers have no queues of their own: each reads the bounded history at its own pace and fails with `gone` when
 * compaction overtakes it. The latest events are kept in memory once for all watchers.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import type { Dump, DumpRecord } from './dump/dump.ts';
import { freeze } from './freeze.ts';
import {
  type Author,
  HISTORY,
  type HistoryEntry,
  type HistorySettings,
  hasHistory,
  isHistoric,
  kept,
  outdated,
  pruneEveryMs,
} from './history/history.ts';
import { selects } from './selects.ts';
import { checkPrecondition, describeKey, stampCreated, stampDeleted, stampStatus, stampUpdated } from './stamp.ts';
import {
  type LoadableStore,
  type Precondition,
  type ResourceKey,
  type Selection,
  type StatusWrite,
  StoreError,
  type WatchEvent,
} from './store.ts';

/** Rows and history. Every method is synchronous; what it returns is the caller's own copy. */
export interface Backend {
  read(key: ResourceKey): Resource | undefined;
  /** Sorted by namespace, then name. */
  scan(selection: Selection): Resource[];
  /** The last write's revision; 1 in a new store, since 0 means "any" to Kubernetes clients. */
  revision(): number;
  /** History holds every event after this revision. */
  compactedTo(): number;
  /** Events after `revision` that match, in order, at most `limit`. */
  eventsAfter(revision: number, selection: Selection, limit: number): WatchEvent[];
  /** Runs `writes` as one transaction: when this returns they are durable, when it throws none of them happened. */
  transaction(writes: () => void): void;
  /** Only inside a transaction: stores or removes the resource, appends to history, moves the revision. */
  apply(event: WatchEvent): void;
  /** Only inside a transaction: appends to the resource's history, which then holds at most `limit` entries. */
  record(key: ResourceKey, entry: HistoryEntry, limit: number): void;
  /** Oldest first. */
  recorded(key: ResourceKey): HistoryEntry[];
  /** Only inside a transaction: removes entries superseded at `before` (milliseconds) or earlier. @returns whether more may be there */
  forget(before: number): boolean;
  /** All rows as they are at the moment of the call. */
  dump(): Iterable<DumpRecord>;
  /** Only inside a transaction, in a store without rows: a row whose revision is that of the resource; no event is made. */
  load(record: DumpRecord): void;
  /** Only inside a transaction: the next write has a later revision than this, and watches from earlier ones end with `gone`. */
  skipTo(revision: number): void;
  close(): void;
}

export interface EmbeddedOptions {
  /** The clock for creationTimestamp. */
  now?: () => Date;
  newUid?: () => string;
  /** Default: HISTORY. */
  history?: HistorySettings;
}

/** Default number of events kept for watchers. */
export const defaultHistoryLimit = 10_000;

const OPERATIONS = { ADDED: 'Create', MODIFIED: 'Update', DELETED: 'Delete' } as const;

const writesPerTransaction = 256;
/** Turns of the event loop that a transaction waits for further writes, as long as each turn brings some. */
const gatheringTurns = 16;
const eventsPerRead = 128;
/** Events that watchers read from memory; one that is further behind reads from the backend. */
const recentEvents = 512;

interface Write {
  run: () => Resource;
  resolve: (resource: Resource) => void;
  reject: (error: unknown) => void;
}

export class EmbeddedStore implements LoadableStore {
  private readonly backend: Backend;
  private readonly now: () => Date;
  private readonly newUid: () => string;
  private readonly kept: HistorySettings;
  private readonly pruning: ReturnType<typeof setInterval>;
  private readonly waiting = new Set<() => void>();
  private writes: Write[] = [];
  /** The newest events, revisions without a gap, shared by all watchers: frozen. */
  private recent: WatchEvent[] = [];
  /** Of the current transaction. */
  private applied: WatchEvent[] = [];
  private closed = false;

  constructor(backend: Backend, options: EmbeddedOptions = {}) {
    this.backend = backend;
    this.now = options.now ?? (() => new Date());
    this.newUid = options.newUid ?? (() => crypto.randomUUID());
    this.kept = options.history ?? HISTORY;
    this.pruning = setInterval(() => this.prune(), pruneEveryMs(this.kept));
    this.pruning.unref?.();
  }

  async get(key: ResourceKey): Promise<Resource | undefined> {
    return this.reading(() => this.backend.read(key));
  }

  async list(selection: Selection): Promise<{ items: Resource[]; revision: number }> {
    return this.reading(() => ({ items: this.backend.scan(selection), revision: this.backend.revision() }));
  }

  async revision(): Promise<number> {
    return this.reading(() => this.backend.revision());
  }

  async history(key: ResourceKey): Promise<HistoryEntry[]> {
    const entries = this.reading(() => this.backend.recorded(key));
    const gone = new Set(outdated(entries, this.kept, this.now().getTime()));
    return entries.filter((entry) => !gone.has(entry)).reverse();
  }

  async dump(): Promise<Dump> {
    return this.reading(() => ({ revision: this.backend.revision(), records: this.backend.dump() }));
  }

  async load(records: Iterable<DumpRecord> | AsyncIterable<DumpRecord>, after: number): Promise<void> {
    const all: DumpRecord[] = [];
    for await (const record of records) all.push(record);
    const loading = () => {
      if (this.backend.scan({}).length > 0) throw new StoreError('conflict', 'the store holds resources already');
      let revision = Math.max(this.backend.revision(), after);
      for (const record of all) this.backend.load(record.kind === 'resource' ? renumbered(record, ++revision) : record);
      this.backend.skipTo(revision);
    };
    this.reading(() => this.backend.transaction(loading));
  }

  create(key: ResourceKey, resource: Resource, author?: Author): Promise<Resource> {
    const copy = structuredClone(resource);
    return this.write(() => {
      if (this.backend.read(key)) throw new StoreError('already-exists', `${describeKey(key)} already exists`);
      const revision = this.backend.revision() + 1;
      const created = stampCreated(key, copy, { revision, now: this.now(), uid: this.newUid() });
      return this.commit('ADDED', key, created, revision, { author });
    });
  }

  update(key: ResourceKey, resource: Resource, author?: Author): Promise<Resource> {
    const copy = structuredClone(resource);
    return this.write(() => {
      const stored = this.mustRead(key);
      const revision = this.backend.revision() + 1;
      const updated = stampUpdated(key, stored, copy, revision);
      if (!updated) return stored;
      return this.commit('MODIFIED', key, updated, revision, isHistoric(stored, updated) ? { author } : undefined);
    });
  }

  updateStatus(key: ResourceKey, status: unknown, write?: StatusWrite): Promise<Resource> {
    const copy = structuredClone(status);
    return this.write(() => {
      const stored = this.mustRead(key);
      const revision = this.backend.revision() + 1;
      const updated = stampStatus(key, stored, copy, { revision, write });
      return updated ? this.commit('MODIFIED', key, updated, revision) : stored;
    });
  }

  delete(key: ResourceKey, precondition?: Precondition, author?: Author): Promise<Resource> {
    return this.write(() => {
      const stored = this.mustRead(key);
      checkPrecondition(key, stored, precondition);
      const revision = this.backend.revision() + 1;
      return this.commit('DELETED', key, stampDeleted(stored, revision), revision, { author });
    });
  }

  async *watch(
    selection: Selection,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent, void, void> {
    const wanted = structuredClone(selection);
    let cursor = fromRevision;
    let resume = () => {};
    // One listener for the life of the watch: one for each wait costs more than the event itself.
    const wake = () => resume();
    const end = () => {
      this.waiting.delete(wake);
      resume();
    };
    signal.addEventListener('abort', end);
    this.waiting.add(wake);
    try {
      while (!signal.aborted) {
        const { events, reached } = this.reading(() => this.historyAfter(cursor, wanted));
        for (const event of events) {
          if (signal.aborted) return;
          yield event;
          cursor = event.revision;
        }
        cursor = Math.max(cursor, reached);
        // Nothing can have been written between the read and this wait unless we yielded: then the next read finds it.
        if (events.length === 0)
          await new Promise<void>((resolve) => {
            resume = resolve;
          });
      }
    } finally {
      signal.removeEventListener('abort', end);
      this.waiting.delete(wake);
    }
  }

  /** Writes already accepted are committed first. Watches end with `unavailable`. */
  async close(): Promise<void> {
    if (this.closed) return;
    while (this.writes.length > 0) this.flush();
    this.closed = true;
    clearInterval(this.pruning);
    this.wakeWatchers();
    this.backend.close();
  }

  private historyAfter(cursor: number, selection: Selection): { events: WatchEvent[]; reached: number } {
    const revision = this.backend.revision();
    if (cursor < this.backend.compactedTo() || cursor > revision)
      throw new StoreError(
        'gone',
        `history holds revisions ${this.backend.compactedTo()} to ${revision}, not ${cursor}: list again`,
      );
    const events = this.recentAfter(cursor, selection) ?? this.backend.eventsAfter(cursor, selection, eventsPerRead);
    return { events, reached: events.length === eventsPerRead ? cursor : revision };
  }

  /** undefined: memory does not reach back so far. */
  private recentAfter(cursor: number, selection: Selection): WatchEvent[] | undefined {
    const oldest = this.recent[0]?.revision;
    if (oldest === undefined || cursor < oldest - 1) return undefined;
    const found: WatchEvent[] = [];
    for (let at = cursor + 1 - oldest; at < this.recent.length && found.length < eventsPerRead; at++) {
      const event = this.recent[at]!;
      if (selects(selection, event.key)) found.push(event);
    }
    return found;
  }

  private remember(events: readonly WatchEvent[]): void {
    for (const event of events) this.recent.push(freeze(event));
    // Trimmed in batches: one copy of the array for many writes.
    if (this.recent.length >= 2 * recentEvents) this.recent = this.recent.slice(-recentEvents);
  }

  private mustRead(key: ResourceKey): Resource {
    const stored = this.backend.read(key);
    if (!stored) throw new StoreError('not-found', `${describeKey(key)} not found`);
    return stored;
  }

  /** @param historic set: the write is part of the resource's history */
  private commit(
    type: WatchEvent['type'],
    key: ResourceKey,
    resource: Resource,
    revision: number,
    historic?: { author: Author | undefined },
  ): Resource {
    const event = { type, key: { ...key }, resource, revision };
    this.backend.apply(event);
    if (historic && this.kept.retentionMs > 0 && hasHistory(key)) this.record(event, historic.author);
    this.applied.push(event);
    return resource;
  }

  private record({ type, key, resource, revision }: WatchEvent, author: Author | undefined): void {
    const time = this.now().getTime();
    const entry = { revision, time, operation: OPERATIONS[type], ...(author && { author }), resource: kept(resource) };
    this.backend.record(key, entry, this.kept.perResource);
  }

  /** In short transactions, between which writes are answered. */
  private prune(): void {
    if (this.closed) return;
    let more = false;
    try {
      this.backend.transaction(() => {
        more = this.backend.forget(this.now().getTime() - this.kept.retentionMs);
      });
    } catch {
      // A store that cannot write now, as on a full disk, forgets the next time; `history` hides the entries.
    }
    if (more) setImmediate(() => this.prune());
  }

  private reading<T>(read: () => T): T {
    if (this.closed) throw new StoreError('unavailable', 'the store is closed');
    try {
      return read();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  private write(run: () => Resource): Promise<Resource> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new StoreError('unavailable', 'the store is closed'));
      this.writes.push({ run, resolve, reject });
      if (this.writes.length === 1) this.gather(0, gatheringTurns);
    });
  }

  /** Commits once a whole turn of the event loop has brought no further write. */
  private gather(seen: number, turns: number): void {
    setImmediate(() => {
      const waiting = this.writes.length;
      if (waiting > seen && waiting < writesPerTransaction && turns > 0) this.gather(waiting, turns - 1);
      else this.flush();
    });
  }

  /** Commits the waiting writes as one transaction. A refused write changed nothing, so the others are unaffected. */
  private flush(): void {
    const batch = this.writes.slice(0, writesPerTransaction);
    this.writes = this.writes.slice(batch.length);
    if (this.writes.length > 0) setImmediate(() => this.flush());
    if (batch.length === 0) return;
    const answers: (() => void)[] = [];
    this.applied = [];
    try {
      this.backend.transaction(() => {
        for (const write of batch) answers.push(this.attempt(write));
      });
    } catch (error) {
      for (const write of batch) write.reject(asStoreError(error));
      return;
    }
    this.remember(this.applied);
    for (const answer of answers) answer();
    this.wakeWatchers();
  }

  /** The result for the writer once the transaction is durable. @throws when the backend fails, which ends the batch */
  private attempt(write: Write): () => void {
    try {
      // A copy: what was stored must not be what the caller may now change.
      const resource = structuredClone(write.run());
      return () => write.resolve(resource);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return () => write.reject(error);
    }
  }

  private wakeWatchers(): void {
    for (const wake of [...this.waiting]) wake();
  }
}

function renumbered<R extends DumpRecord & { kind: 'resource' }>(record: R, revision: number): R {
  const { resource } = record;
  return {
    ...record,
    resource: { ...resource, metadata: { ...resource.metadata, resourceVersion: String(revision) } },
  };
}

function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreError('unavailable', `the store failed: ${reason}`, { cause: error });
}
