/** What tests across processes share: where things are, runtimes to run on, waiting for conditions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bunBinary, denoBinary, type RuntimeName } from '../control/cli/runtimes.mjs';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
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

/**
 * Options of an HTTP upstream that never ends an idle connection: Node's 5 s would at times meet a request that was already
 * on its way, which no proxy may send again.
 */
export const UPSTREAM = { keepAliveTimeout: 0 } as const;

/** A folder of its own under the system's temporary folder, removed by `dispose`. */
export function temporaryFolder(): { path: string; dispose(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tulle-test-'));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}

/** Waits until `check` answers something other than undefined or false; errors inside count as "not yet". */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 120_000,
): Promise<T> {
  const limit = Date.now() + limitMs;
  let last: unknown = '';
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > limit) throw new Error(`not within ${limitMs} ms: ${what} (${last})`, { cause: last });
    await new Promise((again) => setTimeout(again, 25));
  }
}
