/** A store in the process's memory: for tests, and for `tulle compile`, which needs no disk. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { DumpRecord } from './dump/dump.ts';
import { type Backend, defaultHistoryLimit, type EmbeddedOptions, EmbeddedStore } from './embedded.ts';
import { type HistoryEntry, supersededAt } from './history/history.ts';
import { compareKeys, selects } from './selects.ts';
import type { LoadableStore, ResourceKey, Selection, WatchEvent } from './store.ts';

export interface MemoryOptions extends EmbeddedOptions {
  /** Events kept for watchers. */
  historyLimit?: number;
}

export function memoryStore(options: MemoryOptions = {}): LoadableStore {
  return new EmbeddedStore(new MemoryBackend(options.historyLimit ?? defaultHistoryLimit), options);
}

interface Row {
  key: ResourceKey;
  resource: Resource;
}

class MemoryBackend implements Backend {
  private readonly rows = new Map<string, Row>();
  private history: WatchEvent[] = [];
  /** By rowName, oldest first. */
  private readonly entries = new Map<string, HistoryEntry[]>();
  private current = 1;
  private compacted = 0;
  private readonly historyLimit: number;

  constructor(historyLimit: number) {
    this.historyLimit = historyLimit;
  }

  read(key: ResourceKey): Resource | undefined {
    const row = this.rows.get(rowName(key));
    return row && structuredClone(row.resource);
  }

  scan(selection: Selection): Resource[] {
    return [...this.rows.values()]
      .filter((row) => selects(selection, row.key))
      .sort((left, right) => compareKeys(left.key, right.key))
      .map((row) => structuredClone(row.resource));
  }

  revision(): number {
    return this.current;
  }

  compactedTo(): number {
    return this.compacted;
  }

  eventsAfter(revision: number, selection: Selection, limit: number): WatchEvent[] {
    const found: WatchEvent[] = [];
    // Revisions have no gaps, so the first event after `revision` is found by counting.
    const first = this.history.length - (this.current - revision);
    for (let at = Math.max(0, first); at < this.history.length && found.length < limit; at++) {
      const event = this.history[at];
      if (event && selects(selection, event.key)) found.push(structuredClone(event));
    }
    return found;
  }

  transaction(writes: () => void): void {
    writes();
  }

  apply(event: WatchEvent): void {
    const kept = structuredClone(event);
    if (event.type === 'DELETED') this.rows.delete(rowName(event.key));
    else this.rows.set(rowName(event.key), { key: kept.key, resource: kept.resource });
    this.history.push(kept);
    this.current = event.revision;
    // Trimmed in batches: one copy of the array for many writes.
    if (this.history.length >= 2 * this.historyLimit) {
      this.history = this.history.slice(-this.historyLimit);
      this.compacted = this.current - this.historyLimit;
    }
  }

  record(key: ResourceKey, entry: HistoryEntry, limit: number): void {
    const before = this.entries.get(rowName(key)) ?? [];
    this.entries.set(rowName(key), [...before, structuredClone(entry)].slice(-limit));
  }

  recorded(key: ResourceKey): HistoryEntry[] {
    return structuredClone(this.entries.get(rowName(key)) ?? []);
  }

  forget(before: number): boolean {
    for (const [name, entries] of this.entries) {
      const left = entries.filter((entry, at) => (supersededAt(entry, entries[at + 1]) ?? before + 1) > before);
      if (left.length > 0) this.entries.set(name, left);
      else this.entries.delete(name);
    }
    return false;
  }

  dump(): DumpRecord[] {
    const resources = [...this.rows.values()].map((row) => structuredClone({ kind: 'resource' as const, ...row }));
    const entries = [...this.entries].flatMap(([name, all]) =>
      all.map((entry) => structuredClone({ kind: 'history' as const, key: keyOfRow(name), entry })),
    );
    return [...resources, ...entries];
  }

  load(record: DumpRecord): void {
    if (record.kind === 'resource') this.rows.set(rowName(record.key), structuredClone(record));
    else if (record.kind === 'history') this.record(record.key, record.entry, Number.POSITIVE_INFINITY);
  }

  skipTo(revision: number): void {
    this.current = revision;
    this.compacted = revision;
    this.history = [];
  }

  close(): void {}
}

function keyOfRow(name: string): ResourceKey {
  const [group = '', plural = '', namespace = '', ...rest] = name.split('/');
  return { group, plural, namespace, name: rest.join('/') };
}

function rowName(key: ResourceKey): string {
  return `${key.group}/${key.plural}/${key.namespace}/${key.name}`;
}
