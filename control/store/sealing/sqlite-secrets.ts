/** Secrets of a SQLite store that were written without encryption, or with an older key. */
import type { SqlDatabase, SqlRow, SqlValue } from '../sql.ts';
import type { ResourceCodec } from './resource-codec.ts';

const TABLES = ['resources', 'events', 'history'] as const;

/**
 * Opens every Secret.
 * @returns writes of those that are stale; none has happened
 * @throws Error naming the Secret and the key
 */
export function resealSecrets(database: SqlDatabase, codec: ResourceCodec): (() => void)[] {
  const writes: (() => void)[] = [];
  for (const table of TABLES.filter((name) => hasTable(database, name))) {
    const identity = table === 'resources' ? ['grp', 'plural', 'namespace', 'name'] : ['rowid'];
    const rows = database
      .prepare(`SELECT ${table === 'resources' ? '' : 'rowid, '}* FROM ${table} WHERE grp = '' AND plural = 'secrets'`)
      .all() as SqlRow[];
    const where = identity.map((column) => `${column} = ?`).join(' AND ');
    for (const row of rows) {
      const key = { group: '', plural: 'secrets', namespace: String(row['namespace']), name: String(row['name']) };
      const body = row['body'] as string | Uint8Array;
      if (body === '') continue;
      const value = codec.decode<unknown>(key, body);
      if (!codec.isStale(key, body)) continue;
      const at = identity.map((column) => (table === 'events' && column === 'rowid' ? row['revision']! : row[column]!));
      writes.push(() => {
        database
          .prepare(`UPDATE ${table} SET body = ? WHERE ${where}`)
          .run(codec.encode(key, value) as SqlValue, ...at);
      });
    }
  }
  return writes;
}

function hasTable(database: SqlDatabase, name: string): boolean {
  return database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").all(name).length > 0;
}

/** Pages that were freed and the write-ahead log still have what was replaced: both are written again without it. */
export function purgePlainText(database: SqlDatabase): void {
  database.exec('VACUUM');
  const [row] = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all() as SqlRow[];
  if (row?.['busy'] !== 0) throw new Error('the write-ahead log could not be emptied of what is encrypted now');
}
