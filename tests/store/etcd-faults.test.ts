/**
 * The store on an etcd of three members, as processes, while members are killed and paused, one and a majority: no
 * acknowledged write is lost, no read shows less than what was acknowledged, and what fails says so.
 */
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEtcdStore } from '../../control/store/etcd/store.ts';
import { type ResourceStore, StoreError } from '../../control/store/store.ts';
import { keyOf, service } from '../../control/store/testing/suite.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();
afterAll(() => folder.dispose());
let clusters = 0;

describe.skipIf(!etcdPrograms)('etcd in trouble', () => {
  let cluster: EtcdCluster;
  let store: ResourceStore;
  beforeEach(async () => {
    cluster = await startEtcd(join(folder.path, String(clusters++)));
    store = await openEtcdStore(cluster.settings, { prefix: '/tulle' });
  });
  afterEach(async () => {
    for (const { program } of cluster.members) program.process.kill('SIGCONT');
    await cluster.stop();
    await store.close();
  });

  /** Writes until `stop`, each writer one resource after the other. @returns what was acknowledged, and what failed */
  function writing(lanes: number) {
    const acknowledged = new Map<string, string>();
    const failed: unknown[] = [];
    let over = false;
    const lane = async (at: number) => {
      for (let next = 0; !over; next++) {
        const name = `n${at}-${next}`;
        try {
          const { metadata } = await store.create(keyOf(name), service(name));
          acknowledged.set(name, metadata.resourceVersion!);
        } catch (error) {
          failed.push(error);
        }
      }
    };
    const all = Promise.all(Array.from({ length: lanes }, (_, at) => lane(at)));
    return {
      acknowledged,
      failed,
      stop: async () => {
        over = true;
        await all;
      },
      more: (count: number) => {
        const wanted = acknowledged.size + count;
        return until('more writes are acknowledged', () => acknowledged.size >= wanted);
      },
    };
  }

  /** Watches from now on; `seen` are the names, in order. */
  async function watching() {
    const stop = new AbortController();
    const seen: string[] = [];
    const revisions: number[] = [];
    const events = store.watch({}, await store.revision(), stop.signal);
    const run = (async () => {
      for await (const { key, revision } of events) {
        seen.push(key.name);
        revisions.push(revision);
      }
    })();
    return {
      seen,
      revisions,
      stop: async () => {
        stop.abort();
        await run;
      },
    };
  }

  const storedVersions = async () =>
    new Map((await store.list({})).items.map(({ metadata }) => [metadata.name, metadata.resourceVersion!]));

  const faults = {
    killed: async (at: number) => {
      await cluster.members[at]!.kill();
      return () => cluster.members[at]!.restart();
    },
    paused: async (at: number) => {
      cluster.members[at]!.program.process.kill('SIGSTOP');
      return () => void cluster.members[at]!.program.process.kill('SIGCONT');
    },
  };

  it.each(['killed', 'paused'] as const)('loses nothing while one member after the other is %s', async (how) => {
    const watch = await watching();
    const writes = writing(4);
    await writes.more(50);
    for (const at of [0, 1, 2]) {
      const heal = await faults[how](at);
      await writes.more(100);
      heal();
      await until('the member is back', async () => (await fetch(`${cluster.endpoints[at]}/health`)).ok);
      await writes.more(20);
    }
    await writes.stop();
    const stored = await storedVersions();
    expect([...writes.acknowledged].filter(([name, version]) => stored.get(name) !== version)).toEqual([]);
    // What was not acknowledged failed as unavailable, and is there whole or not at all.
    expect(writes.failed.filter((error) => !(error instanceof StoreError) || error.code !== 'unavailable')).toEqual([]);
    await until('the watch has everything', () => watch.seen.length >= stored.size);
    await watch.stop();
    expect(watch.seen.length).toBe(stored.size);
    expect(new Set(watch.seen)).toEqual(new Set(stored.keys()));
    expect(watch.revisions).toEqual([...watch.revisions].sort((left, right) => left - right));
  });

  it('without a majority refuses writes and reads as unavailable, and continues once it is back', async () => {
    const created = await store.create(keyOf('a'), service('a'));
    await Promise.all([cluster.members[0]!.kill(), cluster.members[1]!.kill()]);
    const outcomes = await Promise.allSettled([
      store.get(keyOf('a')),
      store.list({}),
      store.revision(),
      store.update(keyOf('a'), service('a', { ports: [] })),
    ]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'unavailable', message: expect.stringMatching(/^the store failed: etcd http/) },
      });
    cluster.members[0]!.restart();
    const updated = await until('a majority is back', () => store.update(keyOf('a'), service('a', { ports: [] })));
    expect(Number(updated.metadata.resourceVersion)).toBeGreaterThan(Number(created.metadata.resourceVersion));
    expect((await store.get(keyOf('a')))?.spec).toEqual({ ports: [] });
  });
});
