/**
 * Joins of several control planes. Each knows all of them in memory; what may renew is decided on the record as the store has it, and
 * written by a transaction that requires it unchanged: so whichever control plane sees a superseded certificate revokes its join, and
 * no two certificates of a join have the same generation.
 */
import type { Log } from '../../../shared/log/log.ts';
import {
  changeRecord,
  type SharedState,
  type StateChange,
  type StateEntry,
  type StateWrite,
} from '../../store/state/state.ts';
import {
  type Join,
  type JoinCertificate,
  JoinError,
  type Joins,
  type NewJoin,
  REJOIN_REMEDY,
  revokedError,
} from '../joins.ts';
import { type JoinRecord, parseRecord } from '../life/join-table.ts';
import { blankJoin } from '../life/new-join.ts';
import { confirm, standingOf } from '../life/renewal-rule.ts';
import { firstSerial, readSerial, serialOf } from '../life/serials.ts';

const JOINS = 'joins';
const CERTIFICATES = 'join-certificates';
const ADOPTED = 'adopted-certificates';
const joinKey = (id: string): string => `${JOINS}/${id}`;
const certificateKey = (id: string, serial: string): string => `${CERTIFICATES}/${id}/${serial}`;
const adoptedKey = (serial: string): string => `${ADOPTED}/${serial}`;
const SWEEP_MS = 60_000;
/** Writes of one transaction; etcd takes 128. */
const AT_ONCE = 100;

export interface SharedJoinsOptions {
  /** How long after the end of its last certificate a join is kept. 0: it ends with its certificate. */
  readonly graceMs: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  readonly log?: Log;
}

/** Puts a join of a data folder into the store, unless it is there. */
export async function importJoin(
  state: SharedState,
  record: JoinRecord,
  certificates: readonly JoinCertificate[],
): Promise<void> {
  for (const { serial, notAfter } of certificates.slice(-AT_ONCE))
    await state.commit([{ key: certificateKey(record.id, serial), text: String(notAfter) }]);
  await state.commit([
    { key: joinKey(record.id), text: JSON.stringify(record), expected: 0 },
    ...(record.adopted === undefined ? [] : [{ key: adoptedKey(record.adopted), text: record.id }]),
  ]);
}

type Revocation = Pick<JoinRecord, 'revoked' | 'reason'>;

export class SharedJoins implements Joins {
  readonly #state: SharedState;
  readonly #graceMs: number;
  readonly #now: () => number;
  readonly #log: Log;
  readonly #records = new Map<string, JoinRecord>();
  readonly #adopted = new Map<string, string>();
  /** By join, the ends of its certificates by serial number. */
  readonly #certificates = new Map<string, Map<string, number>>();
  readonly #revoked = new Set<string>();
  /** Revoked here, and not written yet: the store is not available. */
  readonly #unwritten = new Map<string, Revocation>();
  /** Certificates whose first use is being written. */
  readonly #confirming = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #stops: readonly (() => void)[];
  #nextSweep = 0;

  constructor(state: SharedState, { graceMs, now = Date.now, log = () => {} }: SharedJoinsOptions) {
    this.#state = state;
    this.#graceMs = graceMs;
    this.#now = now;
    this.#log = log;
    this.#takeCertificates(state.entries(CERTIFICATES));
    this.#takeJoins(state.entries(JOINS));
    this.#stops = [
      state.onChange(CERTIFICATES, (changes) => this.#takeCertificates(changes)),
      state.onChange(JOINS, (changes) => this.#takeJoins(changes)),
    ];
  }

  async begin(join: NewJoin, certificate: JoinCertificate): Promise<Join> {
    const id = readSerial(certificate.serial)?.join;
    if (id === undefined) throw new Error(`serial number ${certificate.serial} names no join`);
    const progress = { confirmed: 1, floor: 1, generation: 1 };
    const record = { ...join, ...blankJoin(id, this.#now(), certificate), ...progress };
    if (!(await this.#create(record, []))) throw new Error(`join ${id} exists already`);
    return record;
  }

  async adopt(join: NewJoin, certificate: JoinCertificate): Promise<Join> {
    const { serial } = certificate;
    const id = readSerial(firstSerial())!.join;
    const progress = { confirmed: 0, floor: 0, generation: 0, adopted: serial };
    const record = { ...join, ...blankJoin(id, this.#now(), certificate), ...progress };
    if (await this.#create(record, [{ key: adoptedKey(serial), text: id, expected: 0 }])) return record;
    const known = (await this.#state.fetch(adoptedKey(serial)))?.text ?? '';
    await this.#state.fetch(joinKey(known));
    return this.#known(known);
  }

  ofSerial(serial: string): Join | undefined {
    return this.#found(serial)?.record;
  }

  get(id: string): Join | undefined {
    return this.#record(id);
  }

  list(): readonly Join[] {
    this.#sweep();
    return [...this.#records.keys()].map((id) => this.#record(id)!).sort((a, b) => a.created - b.created);
  }

  async forRenewal(serial: string): Promise<Join | undefined> {
    const id = readSerial(serial)?.join ?? (await this.#adoptedAs(serial));
    if (id !== undefined) await this.#state.fetch(joinKey(id));
    const found = this.#found(serial);
    if (!found) {
      if (!readSerial(serial)) return undefined;
      throw new JoinError('unknown', `the join of certificate ${serial} is not known here: ${REJOIN_REMEDY}`);
    }
    const { record, generation } = found;
    if (record.revoked !== undefined) throw revokedError(record);
    const settled = await this.#confirm(record.id, generation);
    if (settled.revoked !== undefined) throw revokedError(settled);
    if (standingOf(generation, settled) !== 'superseded') return settled;
    const reason = `certificate ${serial} was used after a later one (${settled.serial}): there is a copy of its key, or the machine was restored from a backup`;
    throw revokedError((await this.revoke(settled.id, reason)) ?? settled);
  }

  async nextSerial(id: string): Promise<string> {
    let generation = 0;
    await this.#change(id, (record) => {
      generation = record.generation + 1;
      return { ...record, generation };
    });
    return serialOf({ join: id, generation });
  }

  async renewed(id: string, certificate: JoinCertificate): Promise<Join> {
    this.#sweep();
    const { serial, notAfter } = certificate;
    const own = { key: certificateKey(id, serial), text: String(notAfter) };
    const newest = (record: JoinRecord): JoinRecord => {
      // Of two renewals at once the one that was given its number later is the newest.
      const isNewest = readSerial(serial)!.generation >= (readSerial(record.serial)?.generation ?? 0);
      return {
        ...record,
        ...(isNewest && { serial, notAfter }),
        lastEnd: Math.max(record.lastEnd, notAfter),
      };
    };
    return this.#change(id, newest, [own]);
  }

  touch(serial: string): void {
    const found = this.#found(serial);
    if (!found || found.record.revoked !== undefined || this.#confirming.has(serial)) return;
    if (standingOf(found.generation, found.record) !== 'pending') return;
    this.#confirming.add(serial);
    // Not waited for: what is lost by a crash is that the certificate before may renew, too.
    this.#confirm(found.record.id, found.generation)
      .catch((error: Error) => this.#log(error.message, 'error'))
      .finally(() => this.#confirming.delete(serial));
  }

  async revoke(id: string, reason: string): Promise<Join | undefined> {
    const before = this.#record(id);
    if (!before || (before.revoked !== undefined && !this.#unwritten.has(id))) return before;
    const revocation = this.#unwritten.get(id) ?? { revoked: this.#now(), reason };
    const isNew = before.revoked === undefined;
    // Without waiting: what is refused from now on must not depend on the store.
    this.#unwritten.set(id, revocation);
    if (isNew)
      this.#log(
        `join ${id} of ${before.namespace}/${before.serviceAccount} (${before.by}) is revoked: ${reason}`,
        'warn',
      );
    try {
      await changeRecord(this.#state, joinKey(id), (entry) => {
        const record = entry && parseRecord(entry.text);
        return record && record.revoked === undefined ? JSON.stringify({ ...record, ...revocation }) : undefined;
      });
      this.#unwritten.delete(id);
    } finally {
      this.#announce();
    }
    return this.#record(id);
  }

  isRevoked(serial: string): boolean {
    return this.#found(serial)?.record.revoked !== undefined;
  }

  revokedCertificates(): readonly JoinCertificate[] {
    this.#sweep();
    const now = this.#now();
    return [...new Set([...this.#revoked, ...this.#unwritten.keys()])].flatMap((id) => {
      const record = this.#records.get(id);
      const all = new Map(this.#certificates.get(id));
      if (record) all.set(record.serial, record.notAfter);
      return [...all].flatMap(([serial, notAfter]) => (notAfter > now ? [{ serial, notAfter }] : []));
    });
  }

  onRevoked(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  async #create(record: JoinRecord, further: readonly StateWrite[]): Promise<boolean> {
    this.#sweep();
    const { id, serial, notAfter } = record;
    const written = await this.#state.commit([
      { key: joinKey(id), text: JSON.stringify(record), expected: 0 },
      { key: certificateKey(id, serial), text: String(notAfter) },
      ...further,
    ]);
    return written !== undefined;
  }

  /** Writes what follows from the record as it is. @throws JoinError: it is not known, or revoked */
  async #change(
    id: string,
    next: (record: JoinRecord) => JoinRecord,
    further: readonly StateWrite[] = [],
  ): Promise<JoinRecord> {
    let after: JoinRecord | undefined;
    const text = (entry: StateEntry | undefined) => {
      const record = entry && parseRecord(entry.text);
      if (!record || record.revoked !== undefined) return undefined;
      after = next(record);
      return JSON.stringify(after);
    };
    await changeRecord(this.#state, joinKey(id), text, further);
    this.#known(id);
    if (!after) throw new JoinError('unknown', `join ${id} is not known here: ${REJOIN_REMEDY}`);
    return after;
  }

  /** The certificate was presented. @returns the record as it is then */
  async #confirm(id: string, generation: number): Promise<JoinRecord> {
    const entry = await changeRecord(this.#state, joinKey(id), (found) => {
      const record = found && parseRecord(found.text);
      if (!record || record.revoked !== undefined || standingOf(generation, record) !== 'pending') return undefined;
      return JSON.stringify({ ...record, ...confirm(generation, record) });
    });
    if (!entry) throw new JoinError('unknown', `join ${id} is not known here: ${REJOIN_REMEDY}`);
    return { ...parseRecord(entry.text), ...this.#unwritten.get(id) };
  }

  async #adoptedAs(serial: string): Promise<string | undefined> {
    return this.#adopted.get(serial) ?? (await this.#state.fetch(adoptedKey(serial)))?.text;
  }

  #record(id: string): JoinRecord | undefined {
    const record = this.#records.get(id);
    const revocation = this.#unwritten.get(id);
    return record && revocation ? { ...record, ...revocation } : record;
  }

  #known(id: string): JoinRecord {
    const record = this.#record(id);
    if (!record) throw new JoinError('unknown', `join ${id} is not known here: ${REJOIN_REMEDY}`);
    if (record.revoked !== undefined) throw revokedError(record);
    return record;
  }

  #found(serial: string): { record: JoinRecord; generation: number } | undefined {
    const read = readSerial(serial);
    const record = this.#record(read?.join ?? this.#adopted.get(serial) ?? '');
    return record && { record, generation: read?.generation ?? 0 };
  }

  #takeJoins(changes: readonly (StateEntry | StateChange)[]): void {
    let revoked = false;
    for (const { key, text } of changes) {
      const id = key.slice(JOINS.length + 1);
      if (text === undefined) this.#drop(id);
      else {
        const record = parseRecord(text);
        this.#records.set(id, record);
        if (record.adopted !== undefined) this.#adopted.set(record.adopted, id);
        if (record.revoked === undefined || this.#revoked.has(id)) continue;
        this.#revoked.add(id);
        revoked = true;
      }
    }
    if (revoked) this.#announce();
  }

  #takeCertificates(changes: readonly (StateEntry | StateChange)[]): void {
    let revoked = false;
    for (const { key, text } of changes) {
      const [, id = '', serial = ''] = key.split('/');
      let own = this.#certificates.get(id);
      if (text === undefined) {
        own?.delete(serial);
        if (own?.size === 0) this.#certificates.delete(id);
        continue;
      }
      if (!own) this.#certificates.set(id, (own = new Map()));
      own.set(serial, Number(text));
      revoked ||= this.#revoked.has(id);
    }
    if (revoked) this.#announce();
  }

  #drop(id: string): void {
    const adopted = this.#records.get(id)?.adopted;
    if (adopted !== undefined) this.#adopted.delete(adopted);
    this.#records.delete(id);
    this.#revoked.delete(id);
    this.#unwritten.delete(id);
  }

  #announce(): void {
    for (const changed of this.#listeners) changed();
  }

  /** Forgets joins that can come back no more, and certificates that have expired. At most once a minute. */
  #sweep(): void {
    const now = this.#now();
    if (now < this.#nextSweep) return;
    // Not all control planes at the same time.
    this.#nextSweep = now + SWEEP_MS * (1 + Math.random());
    this.#forget(now).catch((error: Error) => this.#log(`joins are not cleaned up: ${error.message}`, 'error'));
  }

  async #forget(now: number): Promise<void> {
    const expired: StateWrite[] = [];
    for (const [id, own] of this.#certificates)
      for (const [serial, notAfter] of own)
        if (notAfter < now) expired.push({ key: certificateKey(id, serial), text: undefined });
    for (const { key, text, revision } of this.#state.entries(JOINS)) {
      const record = parseRecord(text);
      if (now <= record.lastEnd + (record.ephemeral ? 0 : this.#graceMs)) continue;
      const { adopted } = record;
      // Unless it was renewed meanwhile.
      await this.#state.commit([
        { key, text: undefined, expected: revision },
        ...(adopted === undefined ? [] : [{ key: adoptedKey(adopted), text: undefined }]),
      ]);
    }
    for (let at = 0; at < expired.length; at += AT_ONCE) await this.#state.commit(expired.slice(at, at + AT_ONCE));
  }
}
