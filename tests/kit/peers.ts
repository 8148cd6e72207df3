/** Programs of others that .ci/peers builds from public Go modules. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const FOLDER = process.env['TULLE_PEERS'] ?? join(homedir(), '.cache/tulle/peers');

/** The paths of peers by name; undefined, and said so, where one of them is not there: its tests are skipped. */
export function peers<const Name extends string>(...names: readonly Name[]): Record<Name, string> | undefined {
  const found = names.map((name) => [name, join(FOLDER, name)] as const);
  const absent = found.filter(([, path]) => !existsSync(path)).map(([name]) => name);
  if (absent.length === 0) return Object.fromEntries(found) as Record<Name, string>;
  console.log(`skipped: ${absent.join(', ')} not in ${FOLDER} (build with .ci/peers ${absent.join(' ')})`);
  return undefined;
}
