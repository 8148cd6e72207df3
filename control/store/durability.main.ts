/** Writes without end into the SQLite store named by the first argument and prints each acknowledged name. To be killed. */
import { writeSync } from 'node:fs';
import { openSqliteStore } from './sqlite.ts';
import { keyOf, service } from './store.suite.ts';

const [, , path = '', round = '0'] = process.argv;
const store = await openSqliteStore(path, { historyLimit: 200 });

async function writer(lane: number): Promise<void> {
  for (let at = 0; ; at++) {
    const name = `r${round}-${lane}-${at}`;
    await store.create(keyOf(name), service(name, { text: 'x'.repeat(2000) }));
    writeSync(1, `${name}\n`);
  }
}

await Promise.all([writer(0), writer(1), writer(2)]);
