/**
 * The table of joins on disk: SQLite, one small row a join and one a certificate that has not expired. Changes of one turn of
 * the event loop share a transaction, so that a thousand joins at once wait for few flushes of the disk.
 */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { openSql, type SqlDatabase, type SqlRow, type SqlStatement, type SqlValue } from '../../store/sql.ts';
import type { Join, JoinCertificate } from '../joins.ts';
import type { Progress } from './renewal-rule.ts';

/** Raised with every change of the tables below. */
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS joins (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS certificates (
    serial TEXT PRIMARY KEY, join_id TEXT NOT NULL, not_after INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS certificates_of ON certificates (join_id);
  CREATE INDEX IF NOT EXISTS certificates_end ON certificates (not_after);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export interface JoinRecord extends Join, Progress {
  /** Serial number of the certificate of an earlier version that the join was made of; its generation is 0. */
  readonly adopted: string | undefined;
  /** The end of the certificate that expires last; milliseconds since the epoch. */
  readonly lastEnd: number;
}

export interface JoinChange {
  /** Replaces the join's row. */
  readonly record?: JoinRecord;
  readonly certificate?: JoinCertificate;
  readonly forget?: string;
}

export class JoinTable {
  readonly #database: SqlDatabase;
  readonly #statements = new Map<string, SqlStatement>();
  #pending: JoinChange[] = [];
  #flush: Promise<void> | undefined;

  private constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** @throws Error naming the file: locked by another process, not a database, made by a newer version */
  static async open(path: string): Promise<JoinTable> {
    let database: SqlDatabase | undefined;
    try {
      closeSync(openSync(path, 'a', 0o600));
      chmodSync(path, 0o600);
      database = await openSql(path);
      for (const pragma of ['busy_timeout = 0', 'locking_mode = EXCLUSIVE', 'journal_mode = WAL', 'synchronous = FULL'])
        database.exec(`PRAGMA ${pragma}`);
      const version = Number((database.prepare('PRAGMA user_version').all()[0] as SqlRow)['user_version']);
      if (version > SCHEMA_VERSION) throw new Error(`written by a newer tulle (schema ${version})`);
      database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
      return new JoinTable(database);
    } catch (error) {
      database?.close();
      const message = (error as Error).message;
      const reason = /locked|busy/i.test(message) ? 'in use by another process; stop it first' : message;
      throw new Error(`${path}: ${reason}`, { cause: error });
    }
  }

  records(): JoinRecord[] {
    return this.#all('SELECT body FROM joins').map(({ body }) => parseRecord(String(body)));
  }

  /** Certificates of a join that end after `now`. Those whose change is not written yet are missing. */
  certificates(join: string, now: number): JoinCertificate[] {
    return this.#all('SELECT serial, not_after FROM certificates WHERE join_id = ? AND not_after > ?', join, now).map(
      (row) => ({ serial: String(row['serial']), notAfter: Number(row['not_after']) }),
    );
  }

  /** Resolves once the change is durable. */
  write(change: JoinChange): Promise<void> {
    this.#pending.push(change);
    this.#flush ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        try {
          this.#writePending();
          resolve();
        } catch (error) {
          reject(new Error(`joins are not written: ${(error as Error).message}`, { cause: error }));
        }
      });
    });
    return this.#flush;
  }

  /** Forgets certificates that ended before `before`. */
  expire(before: number): void {
    this.#run('DELETE FROM certificates WHERE not_after < ?', before);
  }

  close(): void {
    if (this.#flush) this.#writePending();
    this.#statements.clear();
    this.#database.close();
  }

  #writePending(): void {
    const changes = this.#pending;
    this.#pending = [];
    this.#flush = undefined;
    // A join that changed several times is written once.
    const rows = new Map<string, JoinRecord>();
    for (const { record } of changes) if (record) rows.set(record.id, record);
    this.#transaction(() => {
      for (const record of rows.values())
        this.#run('INSERT OR REPLACE INTO joins VALUES (?, ?)', record.id, JSON.stringify(record));
      for (const { record, certificate, forget } of changes) {
        if (record && certificate)
          this.#run(
            'INSERT OR REPLACE INTO certificates VALUES (?, ?, ?)',
            certificate.serial,
            record.id,
            certificate.notAfter,
          );
        if (forget === undefined) continue;
        this.#run('DELETE FROM joins WHERE id = ?', forget);
        this.#run('DELETE FROM certificates WHERE join_id = ?', forget);
      }
    });
  }

  #transaction(writes: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      writes();
      this.#database.exec('COMMIT');
    } catch (error) {
      try {
        this.#database.exec('ROLLBACK');
      } catch {
        // SQLite has rolled back on its own (disk full, I/O error).
      }
      throw error;
    }
  }

  #run(sql: string, ...values: SqlValue[]): void {
    this.#statement(sql).run(...values);
  }

  #all(sql: string, ...values: SqlValue[]): SqlRow[] {
    return this.#statement(sql).all(...values) as SqlRow[];
  }

  #statement(sql: string): SqlStatement {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }
}

/** JSON leaves out what is undefined. */
const ABSENT = { group: undefined, revoked: undefined, reason: undefined, adopted: undefined };

export function parseRecord(body: string): JoinRecord {
  return { ...ABSENT, ...(JSON.parse(body) as Omit<JoinRecord, keyof typeof ABSENT>) };
}
