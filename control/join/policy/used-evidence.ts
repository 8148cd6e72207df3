/** Evidence that was used up, for as long as it would be accepted again: on disk, so that a restart forgets none. */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { openSql, type SqlDatabase, type SqlStatement } from '../../store/sql.ts';
import type { Once } from '../evidence/proof.ts';

/** In the data folder. */
export const USED_EVIDENCE_FILE = 'join-evidence.sqlite';
/** Raised with every change of the table. */
const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS used (id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS used_until ON used (until);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;
/** Between deletions of what has expired. */
const CLEAN_MS = 60_000;

export interface UsedEvidence {
  /** @returns whether this use is the first one; durable then. Of concurrent callers exactly one is the first. */
  claim(once: Once): Promise<boolean>;
  /** Without a use. What another control plane has just claimed may be missing: `claim` decides. */
  isUsed(once: Once): boolean;
  close(): void;
}

/** @param path of a file that is made when absent, 0600. @throws Error naming it: in use by another process, not a database */
export async function openUsedEvidence(path: string, now: () => number = Date.now): Promise<UsedEvidence> {
  return new SqlUsedEvidence(await openTable(path), now);
}

async function openTable(path: string): Promise<SqlDatabase> {
  let database: SqlDatabase | undefined;
  try {
    if (path !== ':memory:') {
      closeSync(openSync(path, 'a', 0o600));
      chmodSync(path, 0o600);
    }
    database = await openSql(path);
    for (const pragma of ['busy_timeout = 0', 'locking_mode = EXCLUSIVE', 'journal_mode = WAL', 'synchronous = FULL'])
      database.exec(`PRAGMA ${pragma}`);
    database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    return database;
  } catch (error) {
    database?.close();
    const message = (error as Error).message;
    const reason = /locked|busy/i.test(message) ? 'in use by another process; stop it first' : message;
    throw new Error(`${path}: ${reason}`, { cause: error });
  }
}

/** What a file holds, `until` in milliseconds since the epoch. @throws Error as `openUsedEvidence` */
export async function readUsedEvidence(path: string): Promise<readonly Once[]> {
  const database = await openTable(path);
  try {
    return database
      .prepare('SELECT id, until FROM used')
      .all()
      .map((row) => row as Record<string, unknown>)
      .map(({ id, until }) => ({ id: String(id), until: Number(until) }));
  } finally {
    database.close();
  }
}

class SqlUsedEvidence implements UsedEvidence {
  readonly #database: SqlDatabase;
  readonly #now: () => number;
  readonly #find: SqlStatement;
  readonly #add: SqlStatement;
  readonly #clean: SqlStatement;
  #cleaned = Number.NEGATIVE_INFINITY;

  constructor(database: SqlDatabase, now: () => number) {
    this.#database = database;
    this.#now = now;
    this.#find = database.prepare('SELECT 1 FROM used WHERE id = ?');
    this.#add = database.prepare('INSERT INTO used (id, until) VALUES (?, ?)');
    this.#clean = database.prepare('DELETE FROM used WHERE until <= ?');
  }

  isUsed({ id }: Once): boolean {
    return this.#find.all(id).length > 0;
  }

  async claim(once: Once): Promise<boolean> {
    const now = this.#now();
    if (now - this.#cleaned >= CLEAN_MS) {
      this.#clean.run(now);
      this.#cleaned = now;
    }
    // Nothing runs between the two: the binding is synchronous, and the file is locked by this process.
    if (this.isUsed(once)) return false;
    this.#add.run(once.id, Math.ceil(once.until));
    return true;
  }

  close(): void {
    this.#database.close();
  }
}
