/**
 * The file of an audit log: lines are appended, and the file is rotated by size as kube-apiserver's is
 * (`--audit-log-maxsize`, `-maxbackup`, `-maxage`), or opened again after another program has moved it.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';

/** Takes lines. One `write` at a time. */
export interface AuditSink {
  /** @param lines whole lines, each with its end @throws Error where not all of it could be written */
  write(lines: string): Promise<void>;
  /** After another program has moved the file. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

export interface RotationSettings {
  /** Bytes that a file may have; 0: it is not rotated. */
  readonly maxBytes: number;
  /** Rotated files that are kept; 0: all. */
  readonly maxBackups: number;
  /** Days that a rotated file is kept; 0: no limit. */
  readonly maxDays: number;
}

export interface LogFileOptions {
  readonly path: string;
  readonly rotation: RotationSettings;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Where the file cannot be rotated, lines are written to it all the same. */
  readonly onRotationError?: (error: unknown) => void;
}

/** As lumberjack, which rotates the log of kube-apiserver, names them: `audit-2026-01-31T12-00-00.000.log`. */
const STAMP = /^-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}$/;
const DAY_MS = 86_400_000;
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;

export class LogFile implements AuditSink {
  readonly #path: string;
  readonly #rotation: RotationSettings;
  readonly #now: () => number;
  readonly #onRotationError: (error: unknown) => void;
  #file: FileHandle;
  #size: number;
  /** The last write ended amid a line. */
  #isTorn = false;

  private constructor({ path, rotation, now, onRotationError }: LogFileOptions, file: FileHandle, size: number) {
    this.#path = path;
    this.#rotation = rotation;
    this.#now = now ?? Date.now;
    this.#onRotationError = onRotationError ?? (() => {});
    this.#file = file;
    this.#size = size;
  }

  /** @throws Error where the file cannot be opened, or is not a regular file */
  static async open(options: LogFileOptions): Promise<LogFile> {
    const { file, size } = await opened(options.path);
    return new LogFile(options, file, size);
  }

  async write(lines: string): Promise<void> {
    const { maxBytes } = this.#rotation;
    const bytes = Buffer.from(this.#isTorn ? `\n${lines}` : lines);
    if (maxBytes > 0 && this.#size > 0 && this.#size + bytes.length > maxBytes)
      await this.#rotate().catch(this.#onRotationError);
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at);
      at += bytesWritten;
      this.#size += bytesWritten;
      this.#isTorn = bytes[at - 1] !== NEWLINE;
    }
  }

  async reopen(): Promise<void> {
    const { file, size } = await opened(this.#path);
    const before = this.#file;
    this.#file = file;
    this.#size = size;
    this.#isTorn = false;
    await before.close();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #rotate(): Promise<void> {
    const stamp = new Date(this.#now()).toISOString().slice(0, -1).replaceAll(':', '-');
    const { folder, stem, extension } = partsOf(this.#path);
    await rename(this.#path, join(folder, `${stem}-${stamp}${extension}`)).catch((error: NodeJS.ErrnoException) => {
      // Another program has moved it.
      if (error.code !== 'ENOENT') throw error;
    });
    await this.reopen();
    await this.#removeOld();
  }

  async #removeOld(): Promise<void> {
    const { maxBackups, maxDays } = this.#rotation;
    const { folder, stem, extension } = partsOf(this.#path);
    const backups = (await readdir(folder)).filter((name) => isBackup(name, stem, extension)).sort();
    const oldest = new Date(this.#now() - maxDays * DAY_MS).toISOString().slice(0, -1).replaceAll(':', '-');
    const surplus = maxBackups > 0 ? backups.slice(0, -maxBackups) : [];
    const old = maxDays > 0 ? backups.filter((name) => name < `${stem}-${oldest}${extension}`) : [];
    for (const name of new Set([...surplus, ...old])) await unlink(join(folder, name));
  }
}

const NEWLINE = 0x0a;

/** @returns whether a file of the folder of the log is the log, or one of its rotated files */
export function isLogFile(path: string, name: string): boolean {
  const { stem, extension } = partsOf(path);
  return name === basename(path) || isBackup(name, stem, extension);
}

const isBackup = (name: string, stem: string, extension: string) =>
  name.startsWith(stem) &&
  name.endsWith(extension) &&
  STAMP.test(name.slice(stem.length, name.length - extension.length));

function partsOf(path: string): { folder: string; stem: string; extension: string } {
  const extension = extname(path);
  return { folder: dirname(path), stem: basename(path, extension), extension };
}

async function opened(path: string): Promise<{ file: FileHandle; size: number }> {
  const file = await open(path, FLAGS, 0o600);
  const found = await file.stat();
  if (found.isFile()) return { file, size: found.size };
  await file.close();
  throw new Error('is not a regular file; "-" is standard output');
}
