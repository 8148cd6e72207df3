/** Joins in memory, kept in a table on disk. */
import type { Log } from '../../../shared/log/log.ts';
import {
  type Join,
  type JoinCertificate,
  JoinError,
  type Joins,
  type NewJoin,
  REJOIN_REMEDY,
  revokedError,
} from '../joins.ts';
import { type JoinRecord, JoinTable } from './join-table.ts';
import { blankJoin } from './new-join.ts';
import { confirm, standingOf } from './renewal-rule.ts';
import { firstSerial, readSerial, serialOf } from './serials.ts';

/** Seconds after its end in which a certificate may still rejoin, unless it is set otherwise. */
export const REJOIN_GRACE_SECONDS = { default: 7 * 24 * 3600, max: 90 * 24 * 3600 } as const;
const SWEEP_MS = 60_000;

export interface JoinsOptions {
  /** How long after the end of its last certificate a join is kept. 0: it ends with its certificate. */
  graceMs: number;
  /** Milliseconds since the epoch. */
  now?: () => number;
  log?: Log;
}

/** @throws Error naming the file: locked by another process, broken, made by a newer version */
export async function openJoins(path: string, options: JoinsOptions): Promise<Joins & { close(): void }> {
  return new SqliteJoins(await JoinTable.open(path), options);
}

class SqliteJoins implements Joins {
  readonly #table: JoinTable;
  readonly #graceMs: number;
  readonly #now: () => number;
  readonly #log: Log;
  readonly #records = new Map<string, JoinRecord>();
  /** By the serial number of a certificate of an earlier version, the join that was made of it. */
  readonly #adopted = new Map<string, string>();
  /** Serial numbers of revoked certificates and their ends. */
  readonly #revoked = new Map<string, number>();
  /** Revoked joins whose revocation is not on disk yet. */
  readonly #unwritten = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #nextSweep = 0;

  constructor(table: JoinTable, { graceMs, now = Date.now, log = () => {} }: JoinsOptions) {
    this.#table = table;
    this.#graceMs = graceMs;
    this.#now = now;
    this.#log = log;
    for (const record of table.records()) {
      this.#hold(record);
      if (record.revoked === undefined) continue;
      for (const { serial, notAfter } of table.certificates(record.id, now())) this.#revoked.set(serial, notAfter);
    }
    this.#sweep();
  }

  async begin(join: NewJoin, certificate: JoinCertificate): Promise<Join> {
    const id = readSerial(certificate.serial)?.join;
    if (id === undefined) throw new Error(`serial number ${certificate.serial} names no join`);
    return this.#create({ ...join, ...blankJoin(id, this.#now(), certificate), confirmed: 1, floor: 1, generation: 1 });
  }

  async adopt(join: NewJoin, certificate: JoinCertificate): Promise<Join> {
    const known = this.#adopted.get(certificate.serial);
    if (known !== undefined) return this.#known(known);
    const id = readSerial(firstSerial())!.join;
    const progress = { confirmed: 0, floor: 0, generation: 0, adopted: certificate.serial };
    return this.#create({ ...join, ...blankJoin(id, this.#now(), certificate), ...progress });
  }

  ofSerial(serial: string): Join | undefined {
    return this.#found(serial)?.record;
  }

  get(id: string): Join | undefined {
    return this.#records.get(id);
  }

  list(): readonly Join[] {
    this.#sweep();
    return [...this.#records.values()].sort((a, b) => a.created - b.created);
  }

  async forRenewal(serial: string): Promise<Join | undefined> {
    const found = this.#found(serial);
    if (!found) {
      if (!readSerial(serial)) return undefined;
      throw new JoinError('unknown', `the join of certificate ${serial} is not known here: ${REJOIN_REMEDY}`);
    }
    const { record, generation } = found;
    if (record.revoked !== undefined) throw revokedError(record);
    if (standingOf(generation, record) === 'superseded') {
      const reason = `certificate ${serial} was used after a later one (${record.serial}): there is a copy of its key, or the machine was restored from a backup`;
      throw revokedError((await this.revoke(record.id, reason)) ?? record);
    }
    this.#confirm(record, generation);
    return this.#records.get(record.id);
  }

  async nextSerial(id: string): Promise<string> {
    const record = this.#known(id);
    const generation = record.generation + 1;
    this.#hold({ ...record, generation });
    return serialOf({ join: id, generation });
  }

  async renewed(id: string, certificate: JoinCertificate): Promise<Join> {
    const before = this.#known(id);
    const { serial, notAfter } = certificate;
    // Of two renewals at once the one that was given its number later is the newest.
    const isNewest = readSerial(serial)!.generation >= (readSerial(before.serial)?.generation ?? 0);
    const newest = isNewest ? { serial, notAfter } : {};
    const record = { ...before, ...newest, lastEnd: Math.max(before.lastEnd, notAfter) };
    this.#hold(record);
    this.#sweep();
    await this.#table.write({ record, certificate });
    return this.#known(id);
  }

  touch(serial: string): void {
    const found = this.#found(serial);
    if (found && found.record.revoked === undefined) this.#confirm(found.record, found.generation);
  }

  async revoke(id: string, reason: string): Promise<Join | undefined> {
    const before = this.#records.get(id);
    const isNew = before?.revoked === undefined;
    if (!before || (!isNew && !this.#unwritten.has(id))) return before;
    const record = isNew ? { ...before, revoked: this.#now(), reason } : before;
    this.#hold(record);
    this.#unwritten.add(id);
    // Without waiting: what is refused from now on must not depend on the disk.
    for (const one of this.#certificatesOf(record)) this.#revoked.set(one.serial, one.notAfter);
    if (isNew)
      this.#log(
        `join ${id} of ${record.namespace}/${record.serviceAccount} (${record.by}) is revoked: ${reason}`,
        'warn',
      );
    try {
      await this.#table.write({ record });
      this.#unwritten.delete(id);
    } finally {
      // Also where the disk has no room: the mesh refuses it until a restart, and the next call writes it.
      for (const one of this.#certificatesOf(record)) this.#revoked.set(one.serial, one.notAfter);
      for (const changed of this.#listeners) changed();
    }
    return record;
  }

  isRevoked(serial: string): boolean {
    return this.#found(serial)?.record.revoked !== undefined;
  }

  revokedCertificates(): readonly JoinCertificate[] {
    this.#sweep();
    return [...this.#revoked].map(([serial, notAfter]) => ({ serial, notAfter }));
  }

  onRevoked(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  close(): void {
    this.#table.close();
  }

  async #create(record: JoinRecord): Promise<Join> {
    if (this.#records.has(record.id)) throw new Error(`join ${record.id} exists already`);
    this.#sweep();
    this.#hold(record);
    const { serial, notAfter } = record;
    try {
      await this.#table.write({ record, certificate: { serial, notAfter } });
    } catch (error) {
      this.#drop(record);
      throw error;
    }
    return record;
  }

  #known(id: string): JoinRecord {
    const record = this.#records.get(id);
    if (!record) throw new JoinError('unknown', `join ${id} is not known here: ${REJOIN_REMEDY}`);
    if (record.revoked !== undefined) throw revokedError(record);
    return record;
  }

  #found(serial: string): { record: JoinRecord; generation: number } | undefined {
    const read = readSerial(serial);
    const record = this.#records.get(read?.join ?? this.#adopted.get(serial) ?? '');
    return record && { record, generation: read?.generation ?? 0 };
  }

  /** Not waited for: what is lost by a crash is that the certificate before may renew, too. */
  #confirm(before: JoinRecord, generation: number): void {
    if (standingOf(generation, before) !== 'pending') return;
    const record = { ...before, ...confirm(generation, before) };
    this.#hold(record);
    this.#table.write({ record }).catch((error: Error) => this.#log(error.message, 'error'));
  }

  #certificatesOf({ id, serial, notAfter }: JoinRecord): JoinCertificate[] {
    return [...this.#table.certificates(id, this.#now()), { serial, notAfter }].filter(
      (one) => one.notAfter > this.#now(),
    );
  }

  #hold(record: JoinRecord): void {
    this.#records.set(record.id, record);
    if (record.adopted !== undefined) this.#adopted.set(record.adopted, record.id);
  }

  #drop({ id, adopted }: JoinRecord): void {
    this.#records.delete(id);
    this.#unwritten.delete(id);
    if (adopted !== undefined) this.#adopted.delete(adopted);
  }

  /** Forgets joins that can come back no more, and revoked certificates that have expired. At most once a minute. */
  #sweep(): void {
    const now = this.#now();
    if (now < this.#nextSweep) return;
    this.#nextSweep = now + SWEEP_MS;
    for (const record of this.#records.values()) {
      if (now <= record.lastEnd + (record.ephemeral ? 0 : this.#graceMs)) continue;
      this.#drop(record);
      this.#table.write({ forget: record.id }).catch((error: Error) => this.#log(error.message, 'error'));
    }
    for (const [serial, notAfter] of this.#revoked) if (now > notAfter) this.#revoked.delete(serial);
    this.#table.expire(now);
  }
}
