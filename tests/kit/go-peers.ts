/** Programs that `.ci/peers` builds from Go modules. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const FOLDER = process.env['TULLE_PEERS'] ?? join(homedir(), '.cache/tulle/peers');

/** Where the program is; undefined, with a printed reason: it is not installed. */
export function goPeer(name: string): string | undefined {
  const path = join(FOLDER, name);
  if (existsSync(path)) return path;
  console.warn(`skipped: no ${name} (.ci/peers ${name} builds it, with Go)`);
  return undefined;
}
