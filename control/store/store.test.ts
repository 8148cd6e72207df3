import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { bunBinary, denoBinary, runtimeCommand } from '../cli/runtimes.mjs';
import { memoryStore } from './memory.ts';
import { openSqliteStore } from './sqlite.ts';
import { keyOf, service, storeCases } from './store.suite.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-store-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newFile = () => join(folder, `store-${files++}.db`);
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));

describe('memory', () => {
  it.each(storeCases)('$name', ({ run, settings }) => run(memoryStore(settings)));
});

describe('node:sqlite', () => {
  it.each(storeCases)('$name', async ({ run, settings }) => {
    const store = await openSqliteStore(newFile(), settings);
    await run(store);
    await store.close();
  });
});

const others = [
  { runtime: 'bun', binary: bunBinary() },
  { runtime: 'deno', binary: denoBinary() },
] as const;

describe.each(others)('SQLite on $runtime', ({ runtime, binary }) => {
  it.skipIf(!binary)(`the whole suite${binary ? '' : ` (skipped: ${runtime} is not installed)`}`, async () => {
    const [command = '', ...args] = runtimeCommand(runtime, script('store.suite.main.ts'));
    const { stdout } = await promisify(execFile)(command, args);
    expect(stdout.trim().split('\n')).toEqual(storeCases.map(({ name }) => `ok ${name}`));
  });
});

describe('SQLite file', () => {
  it('keeps resources, revision and history over a restart', async () => {
    const path = newFile();
    const first = await openSqliteStore(path);
    const created = await first.create(keyOf('a'), service('a'));
    await first.create(keyOf('b'), service('b'));
    const revision = await first.revision();
    await first.close();
    const second = await openSqliteStore(path);
    expect(await second.get(keyOf('a'))).toEqual(created);
    expect(await second.revision()).toBe(revision);
    const events = second.watch({}, revision - 1, new AbortController().signal)[Symbol.asyncIterator]();
    expect((await events.next()).value?.key.name).toBe('b');
    await events.return?.();
    await second.close();
  });

  it('is readable by its owner alone', async () => {
    const path = newFile();
    const store = await openSqliteStore(path);
    await store.create(keyOf('a'), service('a'));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600);
    await store.close();
  });

  it('is refused to a second opener, when no database, and when newer than this code', async () => {
    const path = newFile();
    const store = await openSqliteStore(path);
    await expect(openSqliteStore(path)).rejects.toThrow(`${path}: in use by another process`);
    await store.create(keyOf('a'), service('a'));
    await store.close();
    const { DatabaseSync } = await import('node:sqlite');
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expect(openSqliteStore(path)).rejects.toThrow('newer tulle');
    const garbage = newFile();
    writeFileSync(garbage, 'not a database, but long enough to be looked at '.repeat(50));
    await expect(openSqliteStore(garbage)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

/** Starts a writer, kills it with SIGKILL once `count` writes were acknowledged, and answers all that were. */
async function killedWriter(runtime: 'node' | 'bun', path: string, round: number, count: number): Promise<string[]> {
  const [command = '', ...args] = runtimeCommand(runtime, script('durability.main.ts'));
  const child = spawn(command, [...args, path, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(line);
    if (acknowledged.length === count) child.kill('SIGKILL');
  }
  return acknowledged;
}

describe.each(['node', 'bun'] as const)('killed in mid-write on %s', (runtime) => {
  const rounds = 15;
  it.skipIf(runtime === 'bun' && !bunBinary())(
    `loses no acknowledged write in ${rounds} rounds${runtime === 'bun' && !bunBinary() ? ' (skipped: bun is not installed)' : ''}`,
    async () => {
      const path = newFile();
      const acknowledged: string[] = [];
      for (let round = 0; round < rounds; round++) {
        const names = await killedWriter(runtime, path, round, 5 + round * 7);
        expect(names.length).toBeGreaterThanOrEqual(5 + round * 7);
        acknowledged.push(...names);
        const store = await openSqliteStore(path, { historyLimit: 200 });
        const { items, revision } = await store.list({});
        const stored = new Set(items.map((item) => item.metadata.name));
        expect(acknowledged.filter((name) => !stored.has(name))).toEqual([]);
        // Nothing half done either: every write made exactly one revision.
        expect(revision).toBe(1 + items.length);
        await store.close();
      }
    },
  );
});
