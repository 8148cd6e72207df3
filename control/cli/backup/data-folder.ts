/** Replacing what a data folder holds: whole, or not at all. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { makePrivateFolder, syncFolder } from '../../ca/files.ts';
import { RESTORING } from '../../restoring.ts';
import type { Sealer } from '../../store/sealing/sealer.ts';
import { openSql } from '../../store/sql.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { CliError } from '../cli-error.ts';

/** Names in the folder that are no leftovers. */
const contents = async (folder: string) =>
  (await readdir(folder)).filter((name) => !name.startsWith('.') && name !== 'lost+found');

/**
 * Made when absent. @returns the revision of the store in it; 0: there is none
 * @throws CliError where a process uses it, or it holds something and `force` is false
 */
export async function prepareFolder(
  folder: string,
  { force, sealer }: { force: boolean; sealer: Sealer | undefined },
): Promise<number> {
  await makePrivateFolder(folder);
  const names = await contents(folder);
  if (names.length > 0 && !force)
    throw new CliError(`${folder} is not empty: name another folder, or replace what it holds with --force`);
  for (const name of names) if (name.endsWith('.sqlite')) await mustBeFree(join(folder, name));
  if (!names.includes('resources.sqlite')) return 0;
  const store = await openSqliteStore(join(folder, 'resources.sqlite'), sealer ? { sealer } : {});
  try {
    return await store.revision();
  } finally {
    await store.close();
  }
}

async function mustBeFree(path: string): Promise<void> {
  const database = await openSql(path);
  try {
    database.exec('PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK');
  } catch (error) {
    const reason = /locked|busy/i.test(String(error)) ? 'in use by another process; stop it first' : String(error);
    throw new CliError(`${path}: ${reason}`);
  } finally {
    database.close();
  }
}

/** A folder within the data folder in which its new contents are put together. */
export class Staging {
  readonly path: string;
  private readonly folder: string;

  private constructor(folder: string, path: string) {
    this.folder = folder;
    this.path = path;
  }

  static async open(folder: string): Promise<Staging> {
    const path = join(folder, `.restore-${randomBytes(6).toString('hex')}`);
    await mkdir(path, { mode: 0o700 });
    return new Staging(folder, path);
  }

  /** @param name with `/` @throws Error for one that leads out of the folder */
  async write(name: string, bytes: Uint8Array, mode: number): Promise<void> {
    const path = join(this.path, name);
    if (!path.startsWith(this.path + sep)) throw new Error(`"${name}" is no file of a data folder`);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(path, bytes, { mode: mode & 0o777, flag: 'wx', flush: true });
  }

  /** From here until `finish` the control plane refuses the folder. */
  async begin(): Promise<void> {
    await writeFile(join(this.folder, RESTORING), 'tulle restore --force begins again\n', { mode: 0o600, flush: true });
    await syncFolder(this.folder);
  }

  /** @returns the folder of what there was before; undefined: nothing */
  async finish(): Promise<string | undefined> {
    const old = await contents(this.folder);
    const before = join(this.folder, `.before-restore-${new Date().toISOString().replace(/[:.]/g, '-')}`);
    if (old.length > 0) await mkdir(before, { mode: 0o700 });
    for (const name of old) await rename(join(this.folder, name), join(before, name));
    for (const name of await readdir(this.path)) await rename(join(this.path, name), join(this.folder, name));
    await this.discard();
    await syncFolder(this.folder);
    await rm(join(this.folder, RESTORING), { force: true });
    await syncFolder(this.folder);
    return old.length > 0 ? before : undefined;
  }

  async discard(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
