/** The table of the history in SQLite. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { DumpRecord } from '../dump/dump.ts';
import type { SqlRow, SqlValue } from '../sql.ts';
import type { ResourceKey } from '../store.ts';
import type { HistoryEntry, HistoryOperation } from './history.ts';

/** `superseded`: milliseconds since the epoch; NULL for the present state of a resource. */
export const historySchema = `
  CREATE TABLE IF NOT EXISTS history (
    grp TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL,
    time INTEGER NOT NULL, superseded INTEGER, operation TEXT NOT NULL, user TEXT, manager TEXT, body TEXT NOT NULL
  );
  CREATE UNIQUE INDEX IF NOT EXISTS history_of_resource ON history (grp, plural, namespace, name, revision);
  CREATE INDEX IF NOT EXISTS history_superseded ON history (superseded) WHERE superseded IS NOT NULL;
`;

const OF_RESOURCE = 'grp = ? AND plural = ? AND namespace = ? AND name = ?';
/** Rows removed in one transaction. */
const REMOVED_AT_ONCE = 500;

/** How statements are run, and how bodies are written. */
export interface HistoryTable {
  run(sql: string, ...values: SqlValue[]): void;
  all(sql: string, ...values: SqlValue[]): SqlRow[];
  encode(key: ResourceKey, resource: Resource): SqlValue;
  decode(key: ResourceKey, body: SqlValue): Resource;
}

const valuesOf = ({ group, plural, namespace, name }: ResourceKey) => [group, plural, namespace, name] as const;

/** Appends an entry; at most `limit` of the resource are left. */
export function recordEntry(table: HistoryTable, key: ResourceKey, entry: HistoryEntry, limit: number): void {
  const { revision, time, operation, author, resource } = entry;
  const at = valuesOf(key);
  if (operation !== 'Create') {
    table.run(`UPDATE history SET superseded = ? WHERE ${OF_RESOURCE} AND superseded IS NULL`, time, ...at);
    const surplus = `SELECT revision FROM history WHERE ${OF_RESOURCE} ORDER BY revision DESC LIMIT 1 OFFSET ?`;
    const oldest = table.all(surplus, ...at, limit - 1)[0]?.['revision'];
    if (oldest !== undefined)
      table.run(`DELETE FROM history WHERE ${OF_RESOURCE} AND revision <= ?`, ...at, oldest as number);
  }
  const superseded = operation === 'Delete' ? time : null;
  const { user, manager } = author ?? { user: null, manager: null };
  const body = resource ? table.encode(key, resource) : '';
  const values = [...at, revision, time, superseded, operation, user, manager, body];
  table.run('INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', ...values);
}

/** Oldest first. */
export function entriesOf(table: HistoryTable, key: ResourceKey): HistoryEntry[] {
  const rows = table.all(`SELECT * FROM history WHERE ${OF_RESOURCE} ORDER BY revision`, ...valuesOf(key));
  return rows.map((row) => entryOf(row, resourceOf(table, key, row)));
}

/** @param rows of the table */
export function* dumpedEntries(
  table: HistoryTable,
  rows: readonly SqlRow[],
  keyOf: (row: SqlRow) => ResourceKey,
): Generator<DumpRecord> {
  for (const row of rows) {
    const key = keyOf(row);
    yield { kind: 'history', key, entry: entryOf(row, resourceOf(table, key, row)) };
  }
}

/** Removes some entries that were superseded at `before` or earlier. @returns whether more may be there */
export function forgetEntries(table: HistoryTable, before: number): boolean {
  const some = `SELECT rowid FROM history WHERE superseded <= ? LIMIT ${REMOVED_AT_ONCE}`;
  const found = table.all(some, before).length;
  if (found > 0) table.run(`DELETE FROM history WHERE rowid IN (${some})`, before);
  return found === REMOVED_AT_ONCE;
}

/** An empty body is that of an entry whose resource another store could not keep. */
function resourceOf(table: HistoryTable, key: ResourceKey, row: SqlRow): Resource | undefined {
  return row['body'] === '' ? undefined : table.decode(key, row['body']!);
}

function entryOf(row: SqlRow, resource: Resource | undefined): HistoryEntry {
  const { user, manager } = row;
  return {
    revision: Number(row['revision']),
    time: Number(row['time']),
    operation: String(row['operation']) as HistoryOperation,
    ...(user !== null && manager !== null && { author: { user: String(user), manager: String(manager) } }),
    ...(resource && { resource }),
  };
}
