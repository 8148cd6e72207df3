/** Runs the suite against SQLite on the runtime that runs this file: `bun suite.main.ts`. One line a case. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore } from '../sqlite.ts';
import { storeCases } from './suite.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-store-'));
let at = 0;
for (const { name, run, settings } of storeCases) {
  const store = await openSqliteStore(join(folder, `${at++}.db`), settings);
  try {
    await run(store);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${error instanceof Error ? error.stack : error}`);
  }
  await store.close();
}
rmSync(folder, { recursive: true });
