/** Errors of the command line. */
import { readFileSync } from 'node:fs';

/** A user's mistake, reported in one line with the remedy; never a stack trace. */
export class CliError extends Error {
  override name = 'CliError';
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** @throws CliError naming the flag and the reason */
export function readText(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CliError(`${flag} ${path}: ${(error as Error).message}`);
  }
}
