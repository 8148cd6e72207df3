/** Where things are, and what this machine has: runtimes, programs, reference data, temporary folders. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bunBinary, denoBinary, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { ROOT } from '../../deploy/local/program.ts';

export { ROOT };
/** Public test data beside the checkout; absent for users, whose runs skip what needs it. */
export const REFERENCE = resolve(ROOT, '..', 'shared', 'reference');

/** Some tests read /proc, or use all of 127.0.0.0/8. */
export const LINUX = process.platform === 'linux';
if (!LINUX) console.warn('skipped in part: this is not Linux');

/** The runtimes a proxy is tested on: all three, from one test body. */
export const RUNTIMES: readonly RuntimeName[] = (['node', 'bun', 'deno'] as const).filter((name) => {
  const there = name === 'node' || (name === 'bun' ? bunBinary() : denoBinary()) !== undefined;
  if (!there) console.warn(`skipped on ${name}: it is not installed (npm ci installs it)`);
  return there;
});

/** A folder of its own under the system's temporary folder, removed by `dispose`. */
export function temporaryFolder(): { path: string; dispose(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tulle-test-'));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}
