/** Programs of the host: found as root's shell finds them, run to their end, and never given a shell to read. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { CaptureError } from './capture-options.ts';

/** A service's PATH may lack the folders of administration. */
const MORE_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
const LIMIT_MS = 30_000;

export interface Ran {
  readonly ok: boolean;
  readonly out: string;
  readonly error: string;
}

/** The path of a program, or undefined. */
export function find(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...MORE_FOLDERS];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param input its standard input */
export function run(program: string, args: readonly string[], input = ''): Ran {
  const path = find(program);
  if (!path) return { ok: false, out: '', error: `${program}: not found` };
  const env = { ...process.env, LC_ALL: 'C' };
  const { status, stdout, stderr, error } = spawnSync(path, args, { input, encoding: 'utf8', timeout: LIMIT_MS, env });
  return { ok: status === 0, out: stdout ?? '', error: (stderr || error?.message) ?? '' };
}

/** @returns its output @throws CaptureError with the first line of what it wrote to its standard error */
export function demand(program: string, args: readonly string[], input = ''): string {
  const { ok, out, error } = run(program, args, input);
  if (ok) return out;
  throw new CaptureError(`${program} ${args.join(' ')}: ${error.trim().split('\n')[0] || 'failed'}`);
}
