/**
 * Conformance cases for every ResourceStore. Cases use nothing but node:assert, so the same ones run under vitest on Node and as a
 * plain script on Bun and Deno.
 */
import { deepEqual, equal, match, notEqual, ok, rejects, throws } from 'node:assert/strict';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { DumpRecord } from '../dump/dump.ts';
import type { HistorySettings } from '../history/history.ts';
import type { ResourceKey, ResourceStore, Selection, StoreErrorCode, WatchEvent } from '../store.ts';

export interface StoreSettings {
  historyLimit?: number;
  history?: HistorySettings;
  now?: () => Date;
}

export interface StoreCase {
  name: string;
  run(store: ResourceStore): Promise<void>;
  settings?: StoreSettings;
}

const services = { group: '', plural: 'services' };
const routes = { group: 'networking.istio.io', plural: 'virtualservices' };

export function keyOf(name: string, namespace = 'shop', kind = services): ResourceKey {
  return { ...kind, namespace, name };
}

export function service(name: string, spec: unknown = { ports: [{ port: 80 }] }): Resource {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec };
}

const fails = (promise: Promise<unknown>, code: StoreErrorCode) => rejects(promise, { name: 'StoreError', code });

/** The first `count` events of a watch; it ends there. */
async function take(store: ResourceStore, selection: Selection, from: number, count: number): Promise<WatchEvent[]> {
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  for await (const event of store.watch(selection, from, stop.signal)) {
    events.push(event);
    if (events.length === count) stop.abort();
  }
  return events;
}

const brief = (events: WatchEvent[]) => events.map((event) => `${event.type} ${event.key.name}`);
const nextOf = (store: ResourceStore, from: number) =>
  store.watch({}, from, new AbortController().signal)[Symbol.asyncIterator]().next();

let clockAt = 0;
/** A clock that stays where `setClock` sets it: cases run one after the other. */
const clock = () => () => new Date(clockAt);
const setClock = (time: string) => {
  clockAt = Date.parse(time);
};

export const storeCases: StoreCase[] = [
  {
    name: 'create stamps metadata and overwrites what the caller put there',
    settings: { now: () => new Date('2026-03-04T05:06:07.890Z') },
    async run(store) {
      const given = service('a');
      given.metadata = { name: 'other', uid: 'mine', resourceVersion: '99', generation: 7, labels: { app: 'a' } };
      const created = await store.create(keyOf('a'), given);
      const { uid, ...metadata } = created.metadata;
      match(uid ?? '', /^[0-9a-f-]{36}$/);
      const revision = await store.revision();
      deepEqual(metadata, {
        name: 'a',
        namespace: 'shop',
        labels: { app: 'a' },
        resourceVersion: String(revision),
        generation: 1,
        creationTimestamp: '2026-03-04T05:06:07Z',
      });
      deepEqual(await store.get(keyOf('a')), created);
    },
  },
  {
    name: 'a cluster-scoped resource has no namespace',
    async run(store) {
      const created = await store.create(keyOf('shop', '', { group: '', plural: 'namespaces' }), service('shop'));
      equal('namespace' in created.metadata, false);
    },
  },
  {
    name: 'create refuses a duplicate name; other kinds and namespaces are separate',
    async run(store) {
      await store.create(keyOf('a'), service('a'));
      await fails(store.create(keyOf('a'), service('a')), 'already-exists');
      await store.create(keyOf('a', 'other'), service('a'));
      await store.create(keyOf('a', 'shop', routes), service('a'));
      equal((await store.list({})).items.length, 3);
    },
  },
  {
    name: 'get and list of absent resources',
    async run(store) {
      equal(await store.get(keyOf('a')), undefined);
      deepEqual((await store.list({ kind: services })).items, []);
    },
  },
  {
    name: 'list selects by kind and namespace and sorts by namespace, then name',
    async run(store) {
      for (const [name, namespace] of [
        ['b', 'y'],
        ['a', 'y'],
        ['c', 'x'],
      ] as const)
        await store.create(keyOf(name, namespace), service(name));
      await store.create(keyOf('route', 'y', routes), service('route'));
      const names = async (selection: Selection) =>
        (await store.list(selection)).items.map((item) => item.metadata.name);
      deepEqual(await names({ kind: services }), ['c', 'a', 'b']);
      deepEqual(await names({ kind: services, namespace: 'y' }), ['a', 'b']);
      deepEqual(await names({ namespace: 'y' }), ['a', 'b', 'route']);
      deepEqual(await names({}), ['c', 'a', 'b', 'route']);
      equal((await store.list({})).revision, await store.revision());
    },
  },
  {
    name: 'update keeps identity, and increments generation only for changes of user fields',
    async run(store) {
      const created = await store.create(keyOf('a'), service('a'));
      const labelled = structuredClone(created);
      labelled.metadata.labels = { app: 'a' };
      const second = await store.update(keyOf('a'), labelled);
      equal(second.metadata.generation, 1);
      equal(second.metadata.uid, created.metadata.uid);
      equal(second.metadata.creationTimestamp, created.metadata.creationTimestamp);
      notEqual(second.metadata.resourceVersion, created.metadata.resourceVersion);
      const third = await store.update(keyOf('a'), { ...second, spec: { ports: [{ port: 81 }] } });
      equal(third.metadata.generation, 2);
      deepEqual(await store.get(keyOf('a')), third);
    },
  },
  {
    name: 'a status is written alone: another resourceVersion, the same generation, and updates keep it',
    async run(store) {
      const created = await store.create(keyOf('a'), service('a'));
      const { uid, resourceVersion } = created.metadata;
      const ready = await store.updateStatus(keyOf('a'), { ready: true }, { uid, resourceVersion });
      notEqual(ready.metadata.resourceVersion, resourceVersion);
      deepEqual(
        { ...ready, metadata: { ...ready.metadata, resourceVersion } },
        { ...created, status: { ready: true } },
      );
      const revision = await store.revision();
      deepEqual(await store.updateStatus(keyOf('a'), { ready: true }), ready);
      equal(await store.revision(), revision);
      await fails(store.updateStatus(keyOf('a'), {}, { resourceVersion }), 'conflict');
      await fails(store.updateStatus(keyOf('a'), {}, { uid: 'another' }), 'conflict');
      await fails(store.updateStatus(keyOf('b'), {}), 'not-found');
      const updated = await store.update(keyOf('a'), service('a', { ports: [] }));
      deepEqual(updated.status, { ready: true });
      equal(updated.metadata.generation, 2);
      const none = await store.updateStatus(keyOf('a'), undefined);
      equal('status' in none, false);
      deepEqual(await store.get(keyOf('a')), none);
    },
  },
  {
    name: 'the owners of a status are written with it, in its transaction',
    async run(store) {
      const first = { manager: 'kubectl', operation: 'Update' };
      await store.create(keyOf('a'), { ...service('a'), metadata: { name: 'a', managedFields: [first] } });
      const owners = (stored: Resource, next: Resource) => [
        ...(stored.metadata.managedFields ?? []),
        { manager: 'tulle', status: next.status, before: stored.status ?? null },
      ];
      const second = { manager: 'tulle', status: { ready: true }, before: null };
      const written = await store.updateStatus(keyOf('a'), { ready: true }, { owners });
      deepEqual(written.metadata.managedFields, [first, second]);
      equal(written.metadata.generation, 1);
      deepEqual(await store.get(keyOf('a')), written);
      // What is stored already is no write, and has no other owners.
      deepEqual(await store.updateStatus(keyOf('a'), { ready: true }, { owners }), written);
      const kept = await store.updateStatus(keyOf('a'), { ready: false });
      deepEqual(kept.metadata.managedFields, [first, second]);
      const none = await store.updateStatus(keyOf('a'), undefined, { owners: () => undefined });
      equal('managedFields' in none.metadata, false);
      const busy = await Promise.all(
        ['x', 'y', 'z'].map((name) => store.updateStatus(keyOf('a'), { name }, { owners })),
      );
      const last = busy.reduce((a, b) =>
        Number(a.metadata.resourceVersion) > Number(b.metadata.resourceVersion) ? a : b,
      );
      // Each saw what the one before it had left.
      equal(last.metadata.managedFields?.length, 3);
    },
  },
  {
    name: 'an update that changes nothing is no write',
    async run(store) {
      const created = await store.create(keyOf('a'), service('a'));
      const before = await store.revision();
      const again = await store.update(keyOf('a'), service('a'));
      deepEqual(again, created);
      equal(await store.revision(), before);
    },
  },
  {
    name: 'update refuses absent resources, old resourceVersions and other uids',
    async run(store) {
      await fails(store.update(keyOf('a'), service('a')), 'not-found');
      const created = await store.create(keyOf('a'), service('a'));
      await store.update(keyOf('a'), service('a', { ports: [] }));
      await fails(store.update(keyOf('a'), { ...created, spec: {} }), 'conflict');
      const other = service('a');
      other.metadata.uid = 'another';
      await fails(store.update(keyOf('a'), other), 'conflict');
    },
  },
  {
    name: 'of concurrent updates from one resourceVersion exactly one wins',
    async run(store) {
      const created = await store.create(keyOf('a'), service('a'));
      const tries = Array.from({ length: 20 }, (_, at) => store.update(keyOf('a'), { ...created, spec: { at } }));
      const results = await Promise.allSettled(tries);
      equal(results.filter((result) => result.status === 'fulfilled').length, 1);
    },
  },
  {
    name: 'delete removes, and honours its preconditions',
    async run(store) {
      await fails(store.delete(keyOf('a')), 'not-found');
      const created = await store.create(keyOf('a'), service('a'));
      await fails(store.delete(keyOf('a'), { resourceVersion: '1' }), 'conflict');
      await fails(store.delete(keyOf('a'), { uid: 'another' }), 'conflict');
      const deleted = await store.delete(keyOf('a'), { uid: created.metadata.uid ?? '' });
      equal(deleted.metadata.resourceVersion, String(await store.revision()));
      equal(await store.get(keyOf('a')), undefined);
      const again = await store.create(keyOf('a'), service('a'));
      notEqual(again.metadata.uid, created.metadata.uid);
    },
  },
  {
    name: 'returned and given resources are copies',
    async run(store) {
      const given = service('a', { ports: [{ port: 1 }] });
      const creating = store.create(keyOf('a'), given);
      given.spec = 'changed before the write';
      const created = await creating;
      (created.spec as { ports: unknown[] }).ports.length = 0;
      const read = await store.get(keyOf('a'));
      deepEqual(read?.spec, { ports: [{ port: 1 }] });
      if (read) (read.spec as { ports: unknown[] }).ports.length = 0;
      deepEqual((await store.get(keyOf('a')))?.spec, { ports: [{ port: 1 }] });
      const [event] = await take(store, {}, 0, 1);
      deepEqual(event?.resource.spec, { ports: [{ port: 1 }] });
    },
  },
  {
    name: 'names that look like SQL, paths or prototypes are only names',
    async run(store) {
      for (const name of ["'; DROP TABLE resources; --", '../x', '__proto__', 'ü', '%'])
        await store.create(keyOf(name), service(name));
      equal((await store.list({ kind: services })).items.length, 5);
      equal((await store.get(keyOf('__proto__')))?.metadata.name, '__proto__');
    },
  },
  {
    name: 'watch sends past events after a revision, then new ones, in order',
    async run(store) {
      const first = await store.create(keyOf('a'), service('a'));
      const from = await store.revision();
      await store.update(keyOf('a'), service('a', { ports: [] }));
      const events = take(store, {}, from, 3);
      await store.create(keyOf('b'), service('b'));
      await store.delete(keyOf('a'));
      const seen = await events;
      deepEqual(brief(seen), ['MODIFIED a', 'ADDED b', 'DELETED a']);
      deepEqual(
        seen.map((event) => event.revision),
        [from + 1, from + 2, from + 3],
      );
      deepEqual(
        seen.map((event) => event.resource.metadata.resourceVersion),
        seen.map((event) => String(event.revision)),
      );
      equal(seen[2]?.resource.metadata.uid, first.metadata.uid);
      deepEqual(seen[2]?.resource.spec, { ports: [] });
    },
  },
  {
    name: 'watch selects by kind and namespace',
    async run(store) {
      await store.create(keyOf('a', 'x'), service('a'));
      await store.create(keyOf('b', 'y'), service('b'));
      await store.create(keyOf('c', 'y', routes), service('c'));
      deepEqual(brief(await take(store, { kind: services }, 0, 2)), ['ADDED a', 'ADDED b']);
      deepEqual(brief(await take(store, { namespace: 'y' }, 0, 2)), ['ADDED b', 'ADDED c']);
      deepEqual(brief(await take(store, { kind: routes, namespace: 'y' }, 0, 1)), ['ADDED c']);
    },
  },
  {
    name: 'many watchers of many concurrent writes: none missing, none twice',
    async run(store) {
      const count = 400;
      const from = await store.revision();
      const watches = Array.from({ length: 5 }, () => take(store, {}, from, count));
      await Promise.all(Array.from({ length: count }, (_, at) => store.create(keyOf(`n${at}`), service(`n${at}`))));
      for (const events of await Promise.all(watches)) {
        equal(new Set(events.map((event) => event.key.name)).size, count);
        ok(events.every((event, at) => event.revision === from + at + 1));
      }
    },
  },
  {
    name: 'a watcher far behind catches up without a gap; all watchers get the same frozen events',
    async run(store) {
      const count = 1500;
      const from = await store.revision();
      await Promise.all(Array.from({ length: count }, (_, at) => store.create(keyOf(`n${at}`), service(`n${at}`))));
      const all = await take(store, {}, from, count);
      ok(all.every((event, at) => event.revision === from + at + 1));
      const [first, second] = [await take(store, {}, from + count - 1, 1), await take(store, {}, from + count - 1, 1)];
      equal(first[0], second[0]);
      deepEqual(first[0], all.at(-1));
      throws(() => Object.assign(first[0]!.resource.metadata, { name: 'changed' }), TypeError);
      throws(() => Object.assign((first[0]!.resource.spec as { ports: object[] }).ports[0]!, { port: 1 }), TypeError);
    },
  },
  {
    name: 'watch ends when its signal aborts, before and while waiting',
    async run(store) {
      const from = await store.revision();
      const aborted = AbortSignal.abort();
      for await (const event of store.watch({}, from, aborted)) ok(false, JSON.stringify(event));
      const stop = new AbortController();
      const waiting = store.watch({}, from, stop.signal)[Symbol.asyncIterator]().next();
      stop.abort();
      equal((await waiting).done, true);
    },
  },
  {
    name: 'watch fails with gone when history was compacted or never had the revision',
    settings: { historyLimit: 10 },
    async run(store) {
      for (let at = 0; at < 50; at++) await store.create(keyOf(`n${at}`), service(`n${at}`));
      await fails(nextOf(store, 1), 'gone');
      await fails(nextOf(store, (await store.revision()) + 1), 'gone');
      const from = (await store.revision()) - 10;
      equal((await take(store, {}, from, 10)).length, 10);
    },
  },
  {
    name: 'a reader that falls behind gets an error instead of an unbounded queue',
    settings: { historyLimit: 10 },
    async run(store) {
      const reader = store.watch({}, await store.revision(), new AbortController().signal)[Symbol.asyncIterator]();
      await store.create(keyOf('first'), service('first'));
      equal((await reader.next()).value?.key.name, 'first');
      for (let at = 0; at < 200; at++) await store.create(keyOf(`n${at}`), service(`n${at}`));
      await fails(
        (async () => {
          while (!(await reader.next()).done);
        })(),
        'gone',
      );
    },
  },
  {
    name: 'history has who wrote what and when, newest first, without status; also of what was deleted',
    async run(store) {
      const author = { user: 'jane', manager: 'kubectl' };
      const created = await store.create(keyOf('a'), service('a'), author);
      await store.updateStatus(keyOf('a'), { ready: true });
      const next = service('a', { ports: [] });
      next.metadata.managedFields = [{ manager: 'kubectl' }];
      const updated = await store.update(keyOf('a'), next);
      await store.update(keyOf('a'), {
        ...updated,
        metadata: { ...updated.metadata, managedFields: [{ manager: 'x' }] },
      });
      const deleted = await store.delete(keyOf('a'), {}, { user: 'joe', manager: 'tulle' });
      await store.create(keyOf('b'), service('b'));
      const entries = await store.history(keyOf('a'));
      deepEqual(
        entries.map(({ revision, operation, author: by }) => [String(revision), operation, by?.user, by?.manager]),
        [
          [deleted.metadata.resourceVersion, 'Delete', 'joe', 'tulle'],
          [updated.metadata.resourceVersion, 'Update', undefined, undefined],
          [created.metadata.resourceVersion, 'Create', 'jane', 'kubectl'],
        ],
      );
      deepEqual(
        entries.map(({ resource }) => resource?.spec),
        [{ ports: [] }, { ports: [] }, { ports: [{ port: 80 }] }],
      );
      ok(entries.every(({ time }) => Math.abs(time - Date.now()) < 60_000));
      ok(
        entries.every(({ resource }) => resource && !('status' in resource) && !('managedFields' in resource.metadata)),
      );
      equal(entries[1]?.resource?.metadata.resourceVersion, updated.metadata.resourceVersion);
      deepEqual(await store.history(keyOf('c')), []);
    },
  },
  {
    name: 'history holds so many entries of a resource, the newest',
    settings: { history: { retentionMs: 3_600_000, perResource: 3 } },
    async run(store) {
      await store.create(keyOf('a'), service('a', { at: 0 }));
      for (let at = 1; at < 12; at++) await store.update(keyOf('a'), service('a', { at }));
      const specs = (await store.history(keyOf('a'))).map(({ resource }) => resource?.spec);
      deepEqual(specs, [{ at: 11 }, { at: 10 }, { at: 9 }]);
    },
  },
  {
    name: 'history holds the present state, and what was superseded within its time',
    settings: { history: { retentionMs: 3_600_000, perResource: 20 }, now: clock() },
    async run(store) {
      const specs = async (name: string) => (await store.history(keyOf(name))).map(({ resource }) => resource?.spec);
      setClock('2026-03-04T00:00:00Z');
      await store.create(keyOf('a'), service('a', { at: 0 }));
      await store.create(keyOf('b'), service('b', { at: 0 }));
      setClock('2026-03-04T05:00:00Z');
      await store.update(keyOf('a'), service('a', { at: 1 }));
      await store.delete(keyOf('b'));
      deepEqual(await specs('a'), [{ at: 1 }, { at: 0 }]);
      deepEqual(await specs('b'), [{ at: 0 }, { at: 0 }]);
      setClock('2026-03-04T06:00:00Z');
      deepEqual(await specs('a'), [{ at: 1 }]);
      deepEqual(await specs('b'), []);
    },
  },
  {
    name: 'no history where its time is 0',
    settings: { history: { retentionMs: 0, perResource: 20 } },
    async run(store) {
      await store.create(keyOf('a'), service('a'));
      deepEqual(await store.history(keyOf('a')), []);
    },
  },
  {
    name: 'a dump holds resources and history of one revision, whatever is written meanwhile',
    async run(store) {
      await store.create(keyOf('a'), service('a'), { user: 'jane', manager: 'kubectl' });
      await store.update(keyOf('a'), service('a', { ports: [] }));
      await store.create(keyOf('b'), service('b'));
      await store.delete(keyOf('b'));
      const dump = await store.dump();
      equal(dump.revision, await store.revision());
      await store.create(keyOf('c'), service('c'));
      const records: DumpRecord[] = [];
      for await (const record of dump.records) records.push(record);
      deepEqual(
        records.flatMap((record) => (record.kind === 'resource' ? [record.resource] : [])),
        [await store.get(keyOf('a'))],
      );
      const entries = (name: string) =>
        records.flatMap((record) => (record.kind === 'history' && record.key.name === name ? [record.entry] : []));
      deepEqual(entries('a'), (await store.history(keyOf('a'))).reverse());
      deepEqual(entries('b'), (await store.history(keyOf('b'))).reverse());
      deepEqual(entries('c'), []);
    },
  },
  {
    name: 'after close everything is unavailable, and watches end with an error',
    async run(store) {
      const waiting = nextOf(store, await store.revision());
      const writing = store.create(keyOf('a'), service('a'));
      const ended = rejects(
        async () => {
          // The write accepted before the close may still be seen.
          if (!(await waiting).done) await nextOf(store, 0);
        },
        { code: 'unavailable' },
      );
      await store.close();
      await store.close();
      equal((await writing).metadata.name, 'a');
      await ended;
      await fails(store.get(keyOf('a')), 'unavailable');
      await fails(store.create(keyOf('b'), service('b')), 'unavailable');
    },
  },
];
