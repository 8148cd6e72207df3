import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { type Backend, EmbeddedStore } from './embedded.ts';
import { memoryStore } from './memory.ts';
import { openSqliteStore } from './sqlite.ts';
import type { WatchEvent } from './store.ts';
import { keyOf, service, storeCases } from './testing/suite.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-store-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newFile = () => join(folder, `store-${files++}.db`);

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

  it('is readable by its owner only', async () => {
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

describe('a dump', () => {
  it.each(['memory', 'sqlite'] as const)('is read into a new store, whose revisions are later (%s)', async (driver) => {
    const open = async () => (driver === 'memory' ? memoryStore() : await openSqliteStore(newFile()));
    const [first, second] = [await open(), await open()];
    await first.create(keyOf('a'), service('a'), { user: 'jane', manager: 'kubectl' });
    await first.updateStatus(keyOf('a'), { ready: true });
    const changed = await first.update(keyOf('a'), service('a', { ports: [] }));
    await first.create(keyOf('b'), service('b'));
    const { revision, records } = await first.dump();
    await second.load(records, 1000);
    const loaded = await second.get(keyOf('a'));
    expect(Number(loaded?.metadata.resourceVersion)).toBeGreaterThan(1000);
    expect(loaded).toEqual({
      ...changed,
      metadata: { ...changed.metadata, resourceVersion: loaded?.metadata.resourceVersion },
    });
    expect(await second.history(keyOf('a'))).toEqual(await first.history(keyOf('a')));
    // A client that saw a revision of the first store is not shown a gap as if nothing had happened.
    for (const seen of [revision, 1000]) {
      const watch = second.watch({}, seen, new AbortController().signal)[Symbol.asyncIterator]();
      await expect(watch.next(), String(seen)).rejects.toMatchObject({ code: 'gone' });
    }
    const next = second.watch({}, await second.revision(), new AbortController().signal)[Symbol.asyncIterator]();
    const later = await second.update(keyOf('a'), service('a', { ports: [{ port: 1 }] }));
    expect((await next.next()).value?.resource).toEqual(later);
    expect(Number(later.metadata.resourceVersion)).toBeGreaterThan(Number(loaded?.metadata.resourceVersion));
    await expect(second.load([], 0)).rejects.toMatchObject({ code: 'conflict' });
    await Promise.all([first.close(), second.close()]);
  });
});

describe('group commit', () => {
  /** A backend that reports its commits and fails on demand. */
  function recording() {
    const log: string[] = [];
    const rows = new Map<string, Resource>();
    const events: WatchEvent[] = [];
    const state = { fail: false };
    const backend: Backend = {
      read: (key) => rows.get(key.name),
      scan: () => [...rows.values()],
      revision: () => 1 + events.length,
      compactedTo: () => 0,
      eventsAfter: (revision, _selection, limit) => events.slice(revision - 1, revision - 1 + limit),
      transaction(writes) {
        const before = events.length;
        writes();
        if (state.fail) {
          for (const { key } of events.splice(before)) rows.delete(key.name);
          throw new Error('disk full');
        }
        log.push(`commit ${events.length - before}`);
      },
      apply(event) {
        events.push(event);
        rows.set(event.key.name, event.resource);
      },
      record() {},
      recorded: () => [],
      forget: () => false,
      dump: () => [],
      load() {},
      skipTo() {},
      close() {},
    };
    return { log, state, store: new EmbeddedStore(backend) };
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it('commits writes of neighbouring turns together, and resolves them afterwards, in order', async () => {
    const { log, store } = recording();
    const writes = Array.from({ length: 10 }, async (_, at) => {
      for (let turns = 0; turns < at; turns++) await turn();
      const { metadata } = await store.create(keyOf(`n${at}`), service(`n${at}`));
      log.push(`answered ${metadata.resourceVersion}`);
    });
    await Promise.all(writes);
    expect(log).toEqual(['commit 10', ...Array.from({ length: 10 }, (_, at) => `answered ${at + 2}`)]);
  });

  it('bounds how long further writes defer a commit', async () => {
    const { log, store } = recording();
    const first = store.create(keyOf('first'), service('first')).then(() => log.push('answered'));
    for (let at = 0; !log.includes('answered'); at++) {
      expect(at).toBeLessThan(100);
      void store.create(keyOf(`n${at}`), service(`n${at}`));
      await turn();
    }
    await first;
  });

  it('sends watchers no event of a failed transaction, and refuses all its writes', async () => {
    const { state, store } = recording();
    const stop = new AbortController();
    const events = store.watch({}, await store.revision(), stop.signal);
    const next = events.next();
    state.fail = true;
    const failed = await Promise.allSettled(['a', 'b'].map((name) => store.create(keyOf(name), service(name))));
    expect(failed.map((one) => one.status === 'rejected' && one.reason.code)).toEqual(['unavailable', 'unavailable']);
    state.fail = false;
    await store.create(keyOf('c'), service('c'));
    expect((await next).value).toMatchObject({ key: { name: 'c' }, revision: 2 });
    stop.abort();
    expect((await events.next()).done).toBe(true);
  });
});
