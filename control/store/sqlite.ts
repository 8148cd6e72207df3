/**
 * The embedded default: one SQLite file. WAL with synchronous=FULL, so a commit that returned survives a crash of the
 * process and of the machine (https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous).
 */
import { chmodSync, closeSync, openSync } from 'node:fs';
import type { Resource } from '../../shared/resources/resource.ts';
import type { DumpRecord } from './dump/dump.ts';
import { type Backend, defaultHistoryLimit, type EmbeddedOptions, EmbeddedStore } from './embedded.ts';
import type { HistoryEntry } from './history/history.ts';
import {
  dumpedEntries,
  entriesOf,
  forgetEntries,
  type HistoryTable,
  historySchema,
  recordEntry,
} from './history/sqlite-history.ts';
import { ResourceCodec } from './sealing/resource-codec.ts';
import type { Sealer } from './sealing/sealer.ts';
import { purgePlainText, resealSecrets } from './sealing/sqlite-secrets.ts';
import { openSql, type SqlDatabase, type SqlRow, type SqlStatement, type SqlValue } from './sql.ts';
import { type LoadableStore, type ResourceKey, type Selection, StoreError, type WatchEvent } from './store.ts';

export interface SqliteOptions extends EmbeddedOptions {
  /** Of Secrets. Default: none. */
  sealer?: Sealer;
  /** Events kept for watchers. */
  historyLimit?: number;
}

/** Raised with every change of the tables below. */
const schemaVersion = 2;

const schema = `
  CREATE TABLE IF NOT EXISTS resources (
    grp TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (grp, plural, namespace, name)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS events (
    revision INTEGER PRIMARY KEY, type TEXT NOT NULL,
    grp TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL
  );
  ${historySchema}
  CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT OR IGNORE INTO counters VALUES ('revision', 1), ('compacted', 0);
  PRAGMA user_version = ${schemaVersion};
`;

/**
 * Opens the store in `path`, creating it readable by its owner only (it holds Secrets). One process at a time: the file is
 * locked until `close`.
 * Secrets that the sealer's newest key has not sealed are written again first, and nothing of them is left in the file.
 * @throws StoreError unavailable, naming the file: locked by another process, not a database, made by a newer version, Secrets that the sealer
 * cannot open; then nothing was written
 */
export async function openSqliteStore(path: string, options: SqliteOptions = {}): Promise<LoadableStore> {
  let database: SqlDatabase | undefined;
  try {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    database = await openSql(path);
    const codec = new ResourceCodec(options.sealer);
    prepareDatabase(database, path, codec);
    return new EmbeddedStore(new SqliteBackend(database, options.historyLimit ?? defaultHistoryLimit, codec), options);
  } catch (error) {
    database?.close();
    if (error instanceof StoreError) throw error;
    throw new StoreError('unavailable', `${path}: ${explain(error)}`, { cause: error });
  }
}

function prepareDatabase(database: SqlDatabase, path: string, codec: ResourceCodec): void {
  database.exec('PRAGMA busy_timeout = 0');
  // Revisions are counted in this process, so a second one must not write beside it.
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  const found = Number((database.prepare('PRAGMA user_version').all()[0] as SqlRow)['user_version']);
  if (found > schemaVersion)
    throw new StoreError(
      'unavailable',
      `${path}: written by a newer tulle (schema ${found}, this one knows ${schemaVersion})`,
    );
  // Opens every Secret before the first write.
  const stale = found === 0 ? [] : resealSecrets(database, codec);
  database.exec(`BEGIN IMMEDIATE; ${schema} ${found === 1 ? historyOfPresent(Date.now()) : ''} COMMIT;`);
  rewrite(database, stale);
}

/** A process that ends in between purges the file at its next start. */
function rewrite(database: SqlDatabase, stale: readonly (() => void)[]): void {
  if (stale.length > 0) {
    database.exec("BEGIN IMMEDIATE; INSERT OR REPLACE INTO counters VALUES ('unpurged', 1)");
    for (const write of stale) write();
    database.exec('COMMIT');
  }
  if (database.prepare("SELECT 1 FROM counters WHERE name = 'unpurged'").all().length === 0) return;
  purgePlainText(database);
  database.exec("DELETE FROM counters WHERE name = 'unpurged'");
}

/** Version 1 had no history: it begins with the present state of every resource. */
const historyOfPresent = (now: number) => `
  INSERT INTO history SELECT grp, plural, namespace, name, json_extract(body, '$.metadata.resourceVersion'), ${now}, NULL, 'Update', NULL,
    NULL, json_remove(body, '$.status', '$.metadata.managedFields') FROM resources;
`;

function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /locked|busy/i.test(message) ? 'in use by another process; stop it first' : message;
}

class SqliteBackend implements Backend {
  private readonly table: HistoryTable = {
    run: (sql, ...values) => this.run(sql, ...values),
    all: (sql, ...values) => this.all(sql, ...values),
    encode: (key, resource) => this.codec.encode(key, resource),
    decode: (key, body) => this.codec.decode(key, body as string | Uint8Array),
  };
  private readonly database: SqlDatabase;
  private readonly codec: ResourceCodec;
  private readonly statements = new Map<string, SqlStatement>();
  private readonly historyLimit: number;
  private current: number;
  private compacted: number;

  constructor(database: SqlDatabase, historyLimit: number, codec: ResourceCodec) {
    this.database = database;
    this.codec = codec;
    this.historyLimit = historyLimit;
    this.current = this.counter('revision');
    this.compacted = this.counter('compacted');
  }

  read(key: ResourceKey): Resource | undefined {
    const rows = this.all(
      'SELECT body FROM resources WHERE grp = ? AND plural = ? AND namespace = ? AND name = ?',
      ...keyValues(key),
    );
    return rows[0] && this.table.decode(key, rows[0]['body']!);
  }

  scan(selection: Selection): Resource[] {
    const { where, values } = condition(selection);
    const rows = this.all(`SELECT * FROM resources WHERE ${where} ORDER BY namespace, name, grp, plural`, ...values);
    return rows.map((row) => this.bodyOf(row));
  }

  revision(): number {
    return this.current;
  }

  compactedTo(): number {
    return this.compacted;
  }

  eventsAfter(revision: number, selection: Selection, limit: number): WatchEvent[] {
    const { where, values } = condition(selection);
    return this.all(
      `SELECT * FROM events WHERE revision > ? AND ${where} ORDER BY revision LIMIT ?`,
      revision,
      ...values,
      limit,
    ).map((row) => this.eventOf(row));
  }

  transaction(writes: () => void): void {
    const { current, compacted } = this;
    this.database.exec('BEGIN IMMEDIATE');
    try {
      writes();
      if (this.current !== current) this.writeCounters();
      this.database.exec('COMMIT');
    } catch (error) {
      this.current = current;
      this.compacted = compacted;
      this.rollBack();
      throw error;
    }
  }

  apply({ type, key, resource, revision }: WatchEvent): void {
    const body = this.codec.encode(key, resource);
    const values = keyValues(key);
    if (type === 'DELETED')
      this.run('DELETE FROM resources WHERE grp = ? AND plural = ? AND namespace = ? AND name = ?', ...values);
    else this.run('INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?)', ...values, body);
    this.run('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)', revision, type, ...values, body);
    this.current = revision;
  }

  record(key: ResourceKey, entry: HistoryEntry, limit: number): void {
    recordEntry(this.table, key, entry, limit);
  }

  recorded(key: ResourceKey): HistoryEntry[] {
    return entriesOf(this.table, key);
  }

  forget(before: number): boolean {
    return forgetEntries(this.table, before);
  }

  dump(): Iterable<DumpRecord> {
    // Read at once, since later writes must not show; parsed one by one.
    const resources = this.all('SELECT * FROM resources');
    const entries = this.all('SELECT * FROM history ORDER BY grp, plural, namespace, name, revision');
    const { table } = this;
    const bodyOf = (row: SqlRow) => this.bodyOf(row);
    return (function* () {
      for (const row of resources) yield { kind: 'resource' as const, key: keyOfRow(row), resource: bodyOf(row) };
      yield* dumpedEntries(table, entries, keyOfRow);
    })();
  }

  load(record: DumpRecord): void {
    if (record.kind === 'etcd') return;
    const { key } = record;
    if (record.kind === 'history') recordEntry(this.table, key, record.entry, Number.MAX_SAFE_INTEGER);
    else
      this.run(
        'INSERT INTO resources VALUES (?, ?, ?, ?, ?)',
        ...keyValues(key),
        this.codec.encode(key, record.resource),
      );
  }

  skipTo(revision: number): void {
    this.run('DELETE FROM events');
    this.current = revision;
    this.compacted = revision;
    this.run("UPDATE counters SET value = ? WHERE name = 'compacted'", revision);
  }

  close(): void {
    this.statements.clear();
    this.database.close();
  }

  private bodyOf(row: SqlRow): Resource {
    return this.table.decode(keyOfRow(row), row['body']!);
  }

  private eventOf(row: SqlRow): WatchEvent {
    return {
      type: String(row['type']) as WatchEvent['type'],
      key: keyOfRow(row),
      resource: this.bodyOf(row),
      revision: Number(row['revision']),
    };
  }

  private writeCounters(): void {
    // Compacted in batches of a tenth, so that not every write pays for a deletion.
    if (this.current - this.compacted > this.historyLimit * 1.1) {
      this.compacted = this.current - this.historyLimit;
      this.run('DELETE FROM events WHERE revision <= ?', this.compacted);
      this.run("UPDATE counters SET value = ? WHERE name = 'compacted'", this.compacted);
    }
    this.run("UPDATE counters SET value = ? WHERE name = 'revision'", this.current);
  }

  private rollBack(): void {
    try {
      this.database.exec('ROLLBACK');
    } catch {
      // SQLite has rolled back on its own (disk full, I/O error).
    }
  }

  private counter(name: string): number {
    return Number(this.all('SELECT value FROM counters WHERE name = ?', name)[0]?.['value']);
  }

  private run(sql: string, ...values: SqlValue[]): void {
    this.statement(sql).run(...values);
  }

  private all(sql: string, ...values: SqlValue[]): SqlRow[] {
    return this.statement(sql).all(...values) as SqlRow[];
  }

  private statement(sql: string): SqlStatement {
    let statement = this.statements.get(sql);
    if (!statement) this.statements.set(sql, (statement = this.database.prepare(sql)));
    return statement;
  }
}

function keyValues(key: ResourceKey): [string, string, string, string] {
  return [key.group, key.plural, key.namespace, key.name];
}

function condition(selection: Selection): { where: string; values: string[] } {
  const clauses = ['1'];
  const values: string[] = [];
  if (selection.kind) {
    clauses.push('grp = ? AND plural = ?');
    values.push(selection.kind.group, selection.kind.plural);
  }
  if (selection.namespace !== undefined) {
    clauses.push('namespace = ?');
    values.push(selection.namespace);
  }
  return { where: clauses.join(' AND '), values };
}

function keyOfRow(row: SqlRow): ResourceKey {
  const text = (name: string) => String(row[name]);
  return { group: text('grp'), plural: text('plural'), namespace: text('namespace'), name: text('name') };
}
