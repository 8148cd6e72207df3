/** Files, names and process control on node:*, shared by Node, Bun and Deno. */

import dns from 'node:dns/promises';
import { watch } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import process from 'node:process';
import { garbageCollection, startupRelease } from './collect-garbage.ts';
import { cores } from './cores.ts';
import { startApplication } from './process/application.ts';
import { startCommand } from './process/command.ts';
import { followParentOutput, redirectOutput, writeError, writeOut } from './process/output.ts';
import { notifyReady } from './process/service-manager.ts';
import { succession } from './process/successor.ts';
import { processLog } from './process-log.ts';
import type { Files, ProcessControl } from './runtime.ts';
import { parentChannel, startWorker } from './workers.ts';

/** For so long addresses that are known wait for their TTL, milliseconds: names of the hosts file are none of DNS's. */
const TTL_PATIENCE_MS = 500;

/** Addresses as the system resolves them (hosts file included); the TTL is DNS's, where DNS answers in time. */
export async function resolve(host: string): Promise<{ addresses: string[]; ttl: number | undefined }> {
  if (isIP(host)) return { addresses: [host], ttl: undefined };
  const asked = smallestTtl(host);
  const found = await dns.lookup(host, { all: true, verbatim: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((done) => {
    timer = setTimeout(() => done(undefined), TTL_PATIENCE_MS);
  });
  const ttl = await Promise.race([asked, late]).finally(() => clearTimeout(timer));
  return { addresses: [...new Set(found.map((entry) => entry.address))], ttl };
}

/** The addresses of this host's network interfaces, loopback included. */
export function localAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries = []) => entries.map(({ address }) => address));
}

async function smallestTtl(host: string): Promise<number | undefined> {
  if (host === 'localhost' || host.endsWith('.localhost')) return undefined;
  const answers = await Promise.allSettled([dns.resolve4(host, { ttl: true }), dns.resolve6(host, { ttl: true })]);
  const ttls = answers
    .flatMap((answer) => (answer.status === 'fulfilled' ? answer.value.map((record) => record.ttl) : []))
    .filter((ttl) => Number.isFinite(ttl));
  return ttls.length > 0 ? Math.min(...ttls) : undefined;
}

let temporaryCount = 0;

async function writeAtomic(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.${temporaryCount++}.tmp`;
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.writeFile(bytes);
      // The umask may have taken bits away; it may not have added any.
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

async function append(path: string, bytes: Uint8Array, size: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    if ((await file.stat()).size !== size) throw new Error(`${path} was changed by another process`);
    let written = 0;
    while (written < bytes.length)
      written += (await file.write(bytes, written, bytes.length - written, size + written)).bytesWritten;
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the rename itself durable, where the system lets a folder be opened. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    // Some file systems refuse; the file's own content is safe already.
  }
}

/** One level after the other: Node's recursive mkdir never returns where a folder refuses entries with ENOENT, as /proc. */
async function makeFolder(path: string, mode: number): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found?.isDirectory()) return;
  if (found) throw new Error(`${path} is not a folder`);
  if (dirname(path) !== path) await makeFolder(dirname(path), mode);
  await mkdir(path, { mode }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

const SECOND_LOOK_MS = 50;

export const files: Files = {
  async read(path) {
    try {
      return await readFile(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
  writeAtomic,
  append,
  makeFolder,
  async remove(path) {
    await rm(path, { force: true });
  },
  watchFolder(path, changed) {
    let again: ReturnType<typeof setTimeout> | undefined;
    const watcher = watch(path, () => {
      changed();
      // A file that is emptied and then written is two changes, and Bun tells of one when they follow at once.
      again ??= setTimeout(() => {
        again = undefined;
        changed();
      }, SECOND_LOOK_MS);
    });
    watcher.on('error', () => {});
    return () => {
      clearTimeout(again);
      watcher.close();
    };
  },
};

export const processControl: ProcessControl = {
  startWorker,
  pid: process.pid,
  cores: () => cores(),
  parent: parentChannel(),
  environment: process.env,
  removeFromEnvironment(name) {
    delete process.env[name];
  },
  startApplication,
  startCommand,
  notifyReady,
  succession,
  redirectOutput,
  args: process.argv.slice(2),
  onSignal(signal, handler) {
    process.on(signal, handler);
  },
  exit: (code) => process.exit(code),
  residentBytes: () => process.memoryUsage().rss,
  get collectGarbage() {
    return garbageCollection();
  },
  get releaseStartup() {
    return startupRelease();
  },
  writeOut,
  writeError,
  ...processLog(writeError),
};

if (processControl.parent) followParentOutput();
