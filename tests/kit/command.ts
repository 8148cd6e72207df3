/** Running `tulle` and `kubectl` as their users do: a process, its exit code and what it wrote. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './environment.ts';
import { type Ran, type RunOptions, run } from './process.ts';

/** The environment without Tulle's own variables. */
const CLEAN = { TULLE_SERVER: undefined, TULLE_TOKEN: undefined, TULLE_CA_FILE: undefined, KUBECONFIG: undefined };

const BIN = join(ROOT, 'control/cli/bin.mjs');
/** Points nowhere, so that a kubeconfig of the machine's user is not read. */
const NO_CONFIG = join(ROOT, 'no-such-kubeconfig');

/** Runs `tulle`. */
export const tulle = (args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  run(process.execPath, [BIN, ...args], { ...options, env: { ...CLEAN, TULLE_KUBECONFIG: NO_CONFIG, ...options.env } });

/** The program and arguments that run `tulle`. */
export const tulleCommand = (...args: string[]): [string, ...string[]] => [process.execPath, BIN, ...args];

/** kubectl of PATH; undefined when absent. */
export const kubectlBinary = (process.env['PATH'] ?? '')
  .split(':')
  .map((folder) => join(folder, 'kubectl'))
  .find((file) => existsSync(file));

/** Checks a refusal: exit code 1, at most `lines` lines on stderr, no stack trace. */
export function refusal({ code, out, error }: Ran, lines = 1): string {
  const printed = error.trimEnd().split('\n');
  const trace = printed.some((line) => /^\s+at .*[:(]\d+|node:internal|Error: /.test(line));
  if (code !== 1 || out !== '' || trace || printed.length > lines || printed[0] === '')
    throw new Error(`not a clear refusal: exit code ${code}\nstdout: ${out}\nstderr: ${error}`);
  return error.trimEnd();
}
