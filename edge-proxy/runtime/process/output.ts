/** Where the process's own lines go: standard output and error, or one of them, or a file. Workers write where their parent does. */
import { openSync, writeSync } from 'node:fs';
import process from 'node:process';
import { lineOutput } from '../line-output.ts';

const toError = lineOutput(() => process.stderr);
let out = lineOutput(() => process.stdout);
let error = toError;

/** Tells a worker process where its parent writes. */
const VARIABLE = 'TULLE_WORKER_OUTPUT';
const STANDARD_ERROR = 'stderr';
let chosen: string | undefined;

export const writeOut = (line: string): void => out(line);
export const writeError = (line: string): void => error(line);

/** For the environment of workers. */
export function outputVariable(): Record<string, string> {
  return chosen === undefined ? {} : { [VARIABLE]: chosen };
}

/**
 * From here on both kinds of lines go to `file`, appended, or without one to standard error.
 * @throws Error where the file cannot be opened
 */
export function redirectOutput(file: string | undefined): void {
  chosen = file === undefined ? STANDARD_ERROR : `file:${file}`;
  out = error = file === undefined ? toError : fileOutput(file);
}

/** In a worker. */
export function followParentOutput(): void {
  const { [VARIABLE]: parent } = process.env;
  if (parent !== undefined) redirectOutput(parent === STANDARD_ERROR ? undefined : parent.slice('file:'.length));
}

function fileOutput(path: string): (line: string) => void {
  const descriptor = openSync(path, 'a', 0o640);
  return (line) => {
    try {
      writeSync(descriptor, `${line}\n`);
    } catch {
      // A full disk must not end the proxy.
    }
  };
}
