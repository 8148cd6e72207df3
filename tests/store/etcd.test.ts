/** The store on a real etcd of three members, by TLS and as a user, on every runtime: the whole suite of stores. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import type { EtcdError } from '../../control/store/etcd/etcd-error.ts';
import { EtcdGateway } from '../../control/store/etcd/gateway.ts';
import { ResourceKeys, toBase64 } from '../../control/store/etcd/keys.ts';
import { type EtcdStoreOptions, openEtcdStore } from '../../control/store/etcd/store.ts';
import type { ResourceStore, StoreError } from '../../control/store/store.ts';
import { keyOf, service, storeCases } from '../../control/store/testing/suite.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const nextOf = (store: ResourceStore, from: number, signal: AbortSignal) =>
  store.watch({}, from, signal)[Symbol.asyncIterator]().next();
const folder = temporaryFolder();
let cluster: EtcdCluster;

describe.skipIf(!etcdPrograms)('etcd', () => {
  beforeAll(async () => {
    cluster = await startEtcd(folder.path, { secure: true });
  });
  afterAll(async () => {
    await cluster?.stop();
    folder.dispose();
  });

  it.each(RUNTIMES)('passes the whole suite on %s', async (runtime) => {
    const [program, ...args] = runtimeCommand(runtime, join(ROOT, 'control/store/testing/etcd-suite.main.ts'));
    const { out, error } = await run(program!, [...args, JSON.stringify(cluster.settings), `/tulle/${runtime}`]);
    expect(error).toBe('');
    expect(out.trim().split('\n')).toEqual(storeCases.map(({ name }) => `ok ${name}`));
  });

  const open = (prefix: string, options: Partial<EtcdStoreOptions> = {}) =>
    openEtcdStore(cluster.settings, { prefix, ...options });

  it('has etcd compact its history: one that begins later learns that it is gone', async () => {
    const first = await openEtcdStore(cluster.rootSettings, { prefix: '/tulle/compacted', historyLimit: 20 });
    const from = await first.revision();
    for (let at = 0; at < 50; at++) await first.create(keyOf(`n${at}`), service(`n${at}`));
    const gateway = new EtcdGateway(cluster.rootSettings);
    const past = { key: toBase64('/tulle/compacted/'), revision: String(from) };
    await until('the history is gone', () =>
      gateway.call('/v3/kv/range', past).then(
        () => false,
        (error) => (error as EtcdError).code === 'compacted',
      ),
    );
    gateway.close();
    const second = await open('/tulle/compacted');
    await expect(nextOf(second, from, new AbortController().signal)).rejects.toMatchObject({ code: 'gone' });
    expect((await second.list({})).items.length).toBe(50);
    await Promise.all([first.close(), second.close()]);
  });

  it('says once that its user may not compact', async () => {
    const troubles: string[] = [];
    const onTrouble = (error: unknown) => void troubles.push(String(error));
    const store = await open('/tulle/forbidden', { historyLimit: 5, onTrouble });
    for (let at = 0; at < 30; at++) await store.create(keyOf(`n${at}`), service(`n${at}`));
    await until('the warning', () => troubles.length > 0);
    await store.close();
    expect(troubles).toEqual([expect.stringContaining('--auto-compaction-mode=revision')]);
  });

  it('shows one store what another one writes, in order, and refuses what is based on an older state', async () => {
    const [one, other] = [await open('/tulle/two'), await open('/tulle/two')];
    const created = await one.create(keyOf('a'), service('a'));
    const seen = nextOf(one, Number(created.metadata.resourceVersion), new AbortController().signal);
    const changed = await other.update(keyOf('a'), { ...created, spec: { ports: [] } });
    await expect(one.update(keyOf('a'), { ...created, spec: {} })).rejects.toMatchObject({ code: 'conflict' });
    expect((await seen).value).toMatchObject({ type: 'MODIFIED', resource: changed });
    // Of many writers at both, each from what it read, every one takes effect once.
    const count = 20;
    const label = async (store: ResourceStore, at: number) => {
      for (;;) {
        const read = (await store.get(keyOf('a')))!;
        read.metadata.labels = { ...read.metadata.labels, [`l${at}`]: 'x' };
        const failed = await store.update(keyOf('a'), read).then(
          () => undefined,
          (error) => error as StoreError,
        );
        if (!failed) return;
        expect(failed.code).toBe('conflict');
      }
    };
    await Promise.all(Array.from({ length: count }, (_, at) => label(at % 2 ? one : other, at)));
    expect(Object.keys((await other.get(keyOf('a')))!.metadata.labels!).length).toBe(count);
    await Promise.all([one.close(), other.close()]);
  });

  it('lists more than a page in one snapshot', async () => {
    const store = await open('/tulle/pages');
    const names = Array.from({ length: 1203 }, (_, at) => `n${String(at).padStart(4, '0')}`);
    await Promise.all(names.map((name) => store.create(keyOf(name), service(name))));
    const { items, revision } = await store.list({ kind: { group: '', plural: 'services' } });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(names);
    expect(Math.max(...items.map(({ metadata }) => Number(metadata.resourceVersion)))).toBe(revision);
    await store.close();
  });

  it('refuses a wrong password, and a prefix that the user may not use', async () => {
    const wrong = { ...cluster.settings, user: { name: 'tulle', password: 'wrong' } };
    await expect(openEtcdStore(wrong, { prefix: '/tulle/x' })).rejects.toThrow(/authentication failed/);
    await expect(openEtcdStore(cluster.settings, { prefix: '/other' })).rejects.toThrow(/permission denied/);
  });

  it('refuses writes whose fence does not hold any more, and writes nothing of them', async () => {
    const store = await open('/tulle/fenced');
    const lead = await store.create(keyOf('lead'), service('lead'));
    const revision = Number(lead.metadata.resourceVersion);
    const key = toBase64(new ResourceKeys('/tulle/fenced').nameOf(keyOf('lead')));
    const fenced = store.withFence(() => ({ key, revision }));
    const written = await fenced.create(keyOf('a'), service('a'));
    // As after a pause: what it was elected with is another one's now.
    await store.delete(keyOf('lead'));
    await store.create(keyOf('lead'), service('lead'));
    await expect(fenced.create(keyOf('b'), service('b'))).rejects.toThrow('another control plane leads');
    await expect(fenced.updateStatus(keyOf('a'), { a: 1 })).rejects.toThrow('another control plane leads');
    await expect(fenced.delete(keyOf('a'))).rejects.toThrow('another control plane leads');
    expect(await store.get(keyOf('a'))).toEqual(written);
    expect(await store.get(keyOf('b'))).toBeUndefined();
    await store.close();
  });
});
