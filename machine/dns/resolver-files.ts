/** The resolver's files of a host, and the commands that make it read them. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export interface ResolverHost {
  /** The folder that is the host's `/`. */
  readonly root: string;
  /** Runs a program to its end. @returns its exit code; 127: it is not there */
  run(command: readonly [string, ...string[]]): number;
}

const LIMIT_MS = 30_000;

export const OWN_HOST: ResolverHost = {
  root: '/',
  run([program, ...args]) {
    const { status, error } = spawnSync(program, args, { stdio: 'ignore', timeout: LIMIT_MS });
    return status ?? ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT' ? 127 : 124);
  },
};

/** What is at a path, so that it can be restored byte for byte. */
export type Original =
  | { readonly kind: 'absent' }
  | { readonly kind: 'link'; readonly target: string }
  | {
      readonly kind: 'file';
      readonly content: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

/** @returns content as base64 */
export function originalOf(host: ResolverHost, path: string): Original {
  const at = join(host.root, path);
  const stat = lstatSync(at, { throwIfNoEntry: false });
  if (!stat) return { kind: 'absent' };
  if (stat.isSymbolicLink()) return { kind: 'link', target: readlinkSync(at) };
  const content = readFileSync(at).toString('base64');
  return { kind: 'file', content, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
}

/** Follows links. @returns '' where there is no file */
export function textOf(host: ResolverHost, path: string): string {
  try {
    return readFileSync(join(host.root, path), 'utf8');
  } catch {
    return '';
  }
}

/** Puts a file, or a link, in the place of what is there. */
export function restore(host: ResolverHost, path: string, original: Original): void {
  const at = join(host.root, path);
  if (original.kind === 'absent') {
    rmSync(at, { force: true });
    return;
  }
  if (original.kind === 'file') {
    replace(host, path, Buffer.from(original.content, 'base64'), original.mode, original);
    return;
  }
  const temporary = `${at}.tulle-new`;
  rmSync(temporary, { force: true });
  symlinkSync(original.target, temporary);
  renameSync(temporary, at);
}

/** As one step where it can be: a file that is mounted, as in containers, is written in place. A link is replaced, not followed. */
export function replace(
  host: ResolverHost,
  path: string,
  content: string | Buffer,
  mode: number,
  owner?: { readonly uid: number; readonly gid: number },
): void {
  const at = join(host.root, path);
  mkdirSync(dirname(at), { recursive: true });
  const temporary = `${at}.tulle-new`;
  writeFileSync(temporary, content);
  chmodSync(temporary, mode);
  if (owner) chownSync(temporary, owner.uid, owner.gid);
  try {
    renameSync(temporary, at);
  } catch (error) {
    rmSync(temporary, { force: true });
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    writeFileSync(at, content);
  }
}

/** Removes a file, and its folder where that is empty then. */
export function removeWithFolder(host: ResolverHost, path: string): void {
  const at = join(host.root, path);
  rmSync(at, { force: true });
  try {
    rmdirSync(dirname(at));
  } catch {
    // It holds files of others.
  }
}
