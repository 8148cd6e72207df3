/**
 * Writes without end into the SQLite store named by the first argument, with as many writers at once as the third says, and
 * prints each acknowledged name and each that a watcher received, with its revision. The test kills it.
 */
import { writeSync } from 'node:fs';
import { openSqliteStore } from '../sqlite.ts';
import { keyOf, service } from './suite.ts';

const [, , path = '', round = '0', writers = '3'] = process.argv;
const store = await openSqliteStore(path, { historyLimit: 200 });

async function writer(lane: number): Promise<void> {
  for (let at = 0; ; at++) {
    const name = `r${round}-${lane}-${at}`;
    const created = await store.create(keyOf(name), service(name, { text: 'x'.repeat(2000) }));
    writeSync(1, `acknowledged ${name} ${created.metadata.resourceVersion}\n`);
  }
}

async function watcher(): Promise<void> {
  for await (const { key, revision } of store.watch({}, await store.revision(), new AbortController().signal))
    writeSync(1, `shown ${key.name} ${revision}\n`);
}

await Promise.all([watcher(), ...Array.from({ length: Number(writers) }, (_, lane) => writer(lane))]);
