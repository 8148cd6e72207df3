/** `tulle migrate`: resources and their history from a data folder to etcd. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Dump, DumpRecord } from '../../store/dump/dump.ts';
import type { EtcdSettings } from '../../store/etcd/gateway.ts';
import type { Sealer } from '../../store/sealing/sealer.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { StoreError } from '../../store/store.ts';
import { CliError } from '../cli-error.ts';
import { loadEtcd } from './restore.ts';

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
    else
      throw new CliError(
        'migrate: --from must be a data folder and --to etcd://…: etcd holds keys, joins and tokens besides resources, which a data folder cannot take',
      );
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

/** @returns how many resources there were */
async function counting(
  { records }: Dump,
  load: (records: AsyncIterable<DumpRecord>) => Promise<void>,
): Promise<number> {
  let count = 0;
  const counted = async function* () {
    for await (const record of records) {
      if (record.kind === 'resource') count++;
      yield record;
    }
  };
  await load(counted());
  return count;
}

function done(count: number, next: string): void {
  process.stdout.write(`${count} resources migrated, with their history; ${next}\n`);
}
