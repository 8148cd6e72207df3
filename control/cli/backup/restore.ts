/** `tulle restore`: a backup into a data folder and, where it is named, into etcd. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type BackupLine, opened } from '../../api/backup/lines.ts';
import { type DumpRecord, SKIPPED_REVISIONS, SKIPPED_REVISIONS_ETCD } from '../../store/dump/dump.ts';
import { loadPrefix } from '../../store/etcd/dump.ts';
import { EtcdGateway, type EtcdSettings } from '../../store/etcd/gateway.ts';
import { ResourceCodec } from '../../store/sealing/resource-codec.ts';
import type { Sealer } from '../../store/sealing/sealer.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { StoreError } from '../../store/store.ts';
import { CliError } from '../cli-error.ts';
import { note } from '../output.ts';
import { decrypted } from './archive.ts';
import { prepareFolder, Staging } from './data-folder.ts';

export interface RestoreOptions {
  file: string;
  passphrase: string;
  data: string;
  /** Where resources go instead of into `data`. */
  etcd: { settings: EtcdSettings; prefix: string } | undefined;
  /** Replaces what is there. */
  force: boolean;
  /** Of Secrets, and of the store that is there. Private keys stay as they were backed up. */
  sealer: Sealer | undefined;
}

type Head = Extract<BackupLine, { kind: 'backup' }>;
type Line = Exclude<BackupLine, { kind: 'end' }>;

/** @throws CliError; then nothing was replaced, or the control plane refuses the folder until a restore has ended */
export async function restore(options: RestoreOptions): Promise<void> {
  const { data, etcd, force, sealer } = options;
  const head = await verify(options);
  const found = await prepareFolder(data, { force, sealer });
  const after = Math.max(head.revision, found) + (etcd ? SKIPPED_REVISIONS_ETCD : SKIPPED_REVISIONS);
  const staging = await Staging.open(data);
  try {
    const voided = await stageFiles(staging, options);
    if (!etcd) await loadFile(join(staging.path, 'resources.sqlite'), records(options), { after, sealer });
    await staging.begin();
    if (etcd) await loadEtcd(etcd, records(options), { after, force, sealer });
    const before = await staging.finish();
    report(options, head, { voided, before });
  } catch (error) {
    await staging.discard();
    throw error instanceof StoreError ? new CliError(`restore: ${error.message}`) : error;
  }
}

/** Reads the backup whole before anything is written. @throws CliError */
async function verify(options: RestoreOptions): Promise<Head> {
  let head: Head | undefined;
  for await (const line of linesOf(options)) if (line.kind === 'backup') head = line;
  if (!head) throw new CliError(`${options.file}: the backup is empty`);
  return head;
}

async function* linesOf({ file, passphrase }: RestoreOptions): AsyncGenerator<Line> {
  try {
    yield* opened(decrypted(createReadStream(file), passphrase));
  } catch (error) {
    throw new CliError(`${file}: ${(error as Error).message}`);
  }
}

/** Without the join tokens that etcd held: like those of files, they may have been used since the backup. */
async function* records(options: RestoreOptions): AsyncGenerator<DumpRecord> {
  for await (const line of linesOf(options))
    if (line.kind !== 'backup' && line.kind !== 'file' && !isJoinToken(line)) yield line;
}

const isJoinToken = (line: Line): boolean => line.kind === 'etcd' && line.name.startsWith('state/join-tokens/');

/** @returns how many join tokens are void now: they may have been used since the backup */
async function stageFiles(staging: Staging, options: RestoreOptions): Promise<number> {
  let voided = 0;
  for await (const line of linesOf(options)) {
    if (isJoinToken(line)) voided++;
    if (line.kind !== 'file') continue;
    const unused = /^(join-tokens\/[0-9a-f]{16})\.json$/.exec(line.path);
    if (unused) voided++;
    await staging.write(unused ? `${unused[1]}.revoked.json` : line.path, Buffer.from(line.data, 'base64'), line.mode);
  }
  return voided;
}

/** A new SQLite file. @throws StoreError */
export async function loadFile(
  path: string,
  from: AsyncIterable<DumpRecord>,
  { after, sealer }: { after: number; sealer: Sealer | undefined },
): Promise<void> {
  const store = await openSqliteStore(path, sealer ? { sealer } : {});
  try {
    await store.load(from, after);
  } finally {
    await store.close();
  }
}

/** @throws StoreError, EtcdError */
export async function loadEtcd(
  { settings, prefix }: { settings: EtcdSettings; prefix: string },
  from: AsyncIterable<DumpRecord> | Iterable<DumpRecord>,
  { sealer, ...options }: { after: number; force: boolean; sealer: Sealer | undefined },
): Promise<void> {
  const gateway = new EtcdGateway(settings);
  try {
    await loadPrefix(gateway, from, { prefix, codec: new ResourceCodec(sealer), ...options });
  } finally {
    gateway.close();
  }
}

function report(
  { data }: RestoreOptions,
  { created, trustDomain }: Head,
  { voided, before }: { voided: number; before: string | undefined },
): void {
  process.stdout.write(`${data}: restored the backup of ${created}, trust domain ${trustDomain}\n`);
  if (before !== undefined)
    process.stdout.write(`what it held before is in ${before}: remove it once it is not needed\n`);
  note(`what was revoked after ${created} is in force again: revoke it once more`);
  if (voided > 0) note(`${voided} unused join tokens are void, since they may have been used after it: create others`);
}
