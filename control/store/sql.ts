/** The part of SQLite that the store needs, from the runtime's own binding: `bun:sqlite` on Bun, else `node:sqlite`. */

export type SqlValue = string | number | null | Uint8Array;
export type SqlRow = Record<string, SqlValue>;

export interface SqlStatement {
  run(...values: SqlValue[]): unknown;
  all(...values: SqlValue[]): unknown[];
}

export interface SqlDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqlStatement;
  close(): void;
}

/** Opens (and creates) a database file. @throws the binding's own error */
export async function openSql(path: string): Promise<SqlDatabase> {
  if (process.versions['bun']) {
    // Not a literal, so that neither tsc nor a bundler for Node looks for it.
    const name: string = 'bun:sqlite';
    const { Database } = (await import(name)) as { Database: new (path: string) => SqlDatabase };
    return new Database(path);
  }
  const { DatabaseSync } = await import('node:sqlite');
  return new DatabaseSync(path) as unknown as SqlDatabase;
}
