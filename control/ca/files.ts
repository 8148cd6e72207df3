/** Files an authority keeps: written whole or not at all, secrets for their owner only. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/**
 * Made with 0700 when absent, parents too; an existing folder keeps its mode.
 * @throws Error naming the folder
 */
export async function makePrivateFolder(folder: string): Promise<void> {
  // One level after the other: Node's recursive mkdir never returns where a folder refuses entries with ENOENT, as /proc.
  const missing: string[] = [];
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await stat(at).catch((error: NodeJS.ErrnoException) => {
      // A parent that is a file is found further up.
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw unmakeable(folder, error);
    });
    if (found && !found.isDirectory()) throw new Error(`cannot make folder ${folder}: ${at} is not a folder`);
    if (found) break;
    missing.unshift(at);
  }
  for (const at of missing)
    await mkdir(at, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw unmakeable(folder, error);
    });
}

function unmakeable(folder: string, error: NodeJS.ErrnoException): Error {
  return new Error(`cannot make folder ${folder}: ${error.message.split(',')[0]}`, { cause: error });
}

/** The text of a file, or undefined when there is none. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Writes beside, fsyncs, renames, fsyncs the folder: durable when the promise resolves. Default mode 0600. */
export async function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, mode);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw new Error(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Makes renames within a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
