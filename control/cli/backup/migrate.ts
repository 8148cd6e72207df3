/** `tulle migrate`: resources and their history from a data folder to etcd, and back. */
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../../ca/files.ts';
import type { Dump, DumpRecord } from '../../store/dump/dump.ts';
import { dumpPrefix, leasedKey } from '../../store/etcd/dump.ts';
import { EtcdGateway, type EtcdSettings } from '../../store/etcd/gateway.ts';
import { ResourceCodec } from '../../store/sealing/resource-codec.ts';
import type { Sealer } from '../../store/sealing/sealer.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { StoreError } from '../../store/store.ts';
import { CliError } from '../cli-error.ts';
import { loadEtcd, loadFile } from './restore.ts';

export interface EtcdAt {
  settings: EtcdSettings;
  prefix: string;
}

/** A data folder, or a prefix of etcd. */
export type Place = { folder: string } | { etcd: EtcdAt };

export interface MigrateOptions {
  from: Place;
  to: Place;
  /** Replaces resources of the target. */
  force: boolean;
  /** Of Secrets, in both places. */
  sealer: Sealer | undefined;
}

/** The source is left as it is. @throws CliError */
export async function migrate({ from, to, force, sealer }: MigrateOptions): Promise<void> {
  const options = { force, sealer };
  try {
    if ('folder' in from && 'etcd' in to) await toEtcd(from.folder, to.etcd, options);
    else if ('etcd' in from && 'folder' in to) await toFolder(from.etcd, to.folder, options);
    else throw new CliError('migrate: one of --from and --to must be a data folder, the other one etcd://…');
  } catch (error) {
    throw error instanceof StoreError ? new CliError(`migrate: ${error.message}`) : error;
  }
}

type Options = Pick<MigrateOptions, 'force' | 'sealer'>;

async function toEtcd(folder: string, etcd: EtcdAt, { force, sealer }: Options): Promise<void> {
  const file = join(folder, 'resources.sqlite');
  if (!existsSync(file)) throw new CliError(`--from ${folder}: has no resources.sqlite`);
  const store = await openSqliteStore(file, sealer ? { sealer } : {});
  try {
    const dump = await store.dump();
    const count = await counting(dump, (records) => loadEtcd(etcd, records, { after: dump.revision, force, sealer }));
    done(count, `start the control plane with --store, and with --data ${folder}`);
  } finally {
    await store.close();
  }
}

async function toFolder({ settings, prefix }: EtcdAt, folder: string, { force, sealer }: Options): Promise<void> {
  const file = join(folder, 'resources.sqlite');
  if (existsSync(file) && !force)
    throw new CliError(`--to ${folder}: has a resources.sqlite; name another folder, or replace it with --force`);
  if (!existsSync(join(folder, 'ca')))
    throw new CliError(
      `--to ${folder}: is no data folder; name that of the control plane, with its keys, joins and tokens`,
    );
  const gateway = new EtcdGateway(settings);
  const staged = `${file}.loading`;
  const remove = async (path: string) => {
    for (const end of ['', '-wal', '-shm', '-journal']) await rm(path + end, { force: true });
  };
  try {
    await mustBeUnused(gateway, prefix);
    const dump = await dumpPrefix(gateway, prefix, new ResourceCodec(sealer));
    await remove(staged);
    const count = await counting(dump, (records) => loadFile(staged, records, { after: dump.revision, sealer }));
    await replaceFile(staged, file, remove, sealer);
    done(count, `start the control plane without --store, with --data ${folder}`);
  } finally {
    await remove(staged);
    gateway.close();
  }
}

/** Control planes hold keys of the prefix by leases. @throws CliError */
async function mustBeUnused(gateway: EtcdGateway, prefix: string): Promise<void> {
  const holder = await leasedKey(gateway, prefix);
  if (holder !== undefined) throw new CliError(`--from: in use by a control plane (${holder}): stop it first`);
}

/** @returns how many resources there were @throws CliError for records that only etcd can hold */
async function counting(
  { records, ...dump }: Dump,
  load: (records: AsyncIterable<DumpRecord>) => Promise<void>,
): Promise<number> {
  let count = 0;
  const counted = async function* () {
    for await (const record of records) {
      if (record.kind === 'etcd')
        throw new CliError(
          `migrate: etcd holds more than resources (${record.name} at revision ${dump.revision}), which a data folder cannot take: use "tulle backup"`,
        );
      if (record.kind === 'resource') count++;
      yield record;
    }
  };
  await load(counted());
  return count;
}

/** The old file is kept beside. */
async function replaceFile(
  staged: string,
  file: string,
  remove: (path: string) => Promise<void>,
  sealer: Sealer | undefined,
): Promise<void> {
  if (existsSync(file)) {
    // Of no process, and with nothing left in its write-ahead log.
    await (await openSqliteStore(file, sealer ? { sealer } : {})).close();
    await rename(file, `${file}.before-migration`);
    await remove(file);
  }
  await rename(staged, file);
  await syncFolder(dirname(file));
}

function done(count: number, next: string): void {
  process.stdout.write(`${count} resources migrated, with their history; ${next}\n`);
}
