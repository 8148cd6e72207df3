/** Files an authority keeps: written whole or not at all, secrets for their owner only. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { plainSealer, type Sealer } from '../store/sealing/sealer.ts';

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

/** Private keys. */
const KEY_FILE = /-key\.pem$/;
/** By folder. */
const sealers = new Map<string, Sealer>();

/**
 * From now on private keys (`…-key.pem`) that are written below the folder are sealed, and opened when they are read.
 * @returns ends it
 */
export function sealKeysOf(folder: string, sealer: Sealer): () => void {
  sealers.set(resolve(folder), sealer);
  return () => void sealers.delete(resolve(folder));
}

function sealingOf(path: string): { sealer: Sealer; place: string } {
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    const sealer = sealers.get(folder);
    if (sealer) return { sealer, place: `data/${relative(folder, resolve(path)).replaceAll(sep, '/')}` };
    if (folder === dirname(folder)) return { sealer: plainSealer, place: path };
  }
}

/** The text of a file, or undefined when there is none. @throws Error naming it; also where it is sealed and cannot be opened */
export async function readIfPresent(path: string): Promise<string | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new Error(`cannot read ${path}: ${error.message}`, { cause: error });
  });
  if (bytes === undefined) return undefined;
  const { sealer, place } = sealingOf(path);
  return Buffer.from(sealer.open(place, bytes)).toString();
}

/**
 * Opens every private key below the folder.
 * @returns writes those again that are not sealed by the newest key; none was
 * @throws Error naming the file and the key
 */
export async function staleKeysOf(folder: string): Promise<(() => Promise<void>)[]> {
  const names = await readdir(folder, { recursive: true });
  const writes: (() => Promise<void>)[] = [];
  for (const path of names.filter((name) => KEY_FILE.test(name)).map((name) => join(folder, name))) {
    const text = await readIfPresent(path);
    const { sealer } = sealingOf(path);
    if (text !== undefined && sealer.isStale(await readFile(path))) writes.push(() => writeDurably(path, text));
  }
  return writes;
}

/** Writes beside, fsyncs, renames, fsyncs the folder: durable when the promise resolves. Default mode 0600. */
export async function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(KEY_FILE.test(basename(path)) ? sealed(path, text) : text);
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

function sealed(path: string, text: string): Uint8Array {
  const { sealer, place } = sealingOf(path);
  return sealer.seal(place, Buffer.from(text));
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
