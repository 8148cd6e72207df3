/** `tulle backup`: the whole mesh from its control plane into one encrypted file. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { opened } from '../../api/backup/lines.ts';
import { syncFolder } from '../../ca/files.ts';
import { CliError, readText } from '../cli-error.ts';
import type { ControlApi } from '../connection.ts';
import { encrypted, MIN_PASSPHRASE } from './archive.ts';

/** Of a file, else of TULLE_BACKUP_PASSPHRASE. @throws CliError */
export function passphraseOf(file: string | undefined, env = process.env): string {
  const text = file === undefined ? env['TULLE_BACKUP_PASSPHRASE'] : readText(file, '--passphrase-file');
  const passphrase = text?.replace(/\r?\n$/, '');
  if (!passphrase)
    throw new CliError(
      'backup: needs --passphrase-file FILE, or TULLE_BACKUP_PASSPHRASE: it holds the keys of the mesh',
    );
  if (passphrase.length >= MIN_PASSPHRASE) return passphrase;
  throw new CliError(`backup: the passphrase must have at least ${MIN_PASSPHRASE} characters`);
}

/** Writes beside, and renames once the backup is whole. @throws CliError */
export async function backup(api: ControlApi, path: string, passphrase: string): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
  let bytes = 0;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      for await (const chunk of encrypted(checked(api.texts('POST', '/v1/backup')), passphrase)) {
        await file.write(chunk);
        bytes += chunk.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error instanceof CliError ? error : new CliError(`backup ${path}: ${(error as Error).message}`);
  }
  process.stdout.write(`${path}: ${bytes} bytes, encrypted\n`);
}

/** The lines as they are, once the end has shown that none is missing. */
async function* checked(texts: AsyncIterable<string>): AsyncGenerator<string> {
  const seen: string[] = [];
  const tapped = async function* () {
    for await (const text of texts) {
      seen.push(`${text}\n`);
      yield text;
    }
  };
  for await (const _ of opened(tapped())) yield* seen.splice(0);
  yield* seen;
}
