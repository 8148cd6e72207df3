import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { buildView } from '../mesh/build-view.ts';
import { meshForm } from '../mesh/mesh-resource.ts';
import { conditionsOf, DRAINING, HEALTHY } from '../mesh/workload/workload-health.ts';
import { ENTRY_RECORDS } from '../mesh/workload/workload-records.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { EntryWriter, entryKey } from './entry-writer.ts';
import { VanishedProxies } from './vanished-proxies.ts';

const entry = (name: string, address: string, serviceAccount: string, annotations = {}): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name, namespace: 'shop', annotations },
  spec: { address, serviceAccount },
});
const ENTRIES = [
  entry('web', '10.0.0.5', 'web'),
  entry('other-account', '10.0.0.5', 'other'),
  entry('registered', '10.0.0.5', 'web', { [ENTRY_RECORDS.group]: 'web' }),
];

let store: ResourceStore;
let reported: string[];
let watch: VanishedProxies;
/** Whether a proxy is connected to another control plane; an error: it cannot be asked. */
let elsewhere: () => Promise<boolean>;
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
  store = memoryStore();
  elsewhere = async () => false;
  reported = [];
  for (const each of ENTRIES) await store.create(entryKey('shop', each.metadata.name), each);
  watch = new VanishedProxies({
    store,
    view: () => buildView(ENTRIES.map(meshForm), 1),
    graceMs: 10_000,
    returnMs: 60_000,
    isElsewhere: () => elsewhere(),
    report: (error) => void reported.push((error as Error).message),
  });
});
afterEach(async () => {
  await watch.close();
  await store.close();
  vi.useRealTimers();
});

function proxy(id = 'one', account = 'web', address = '10.0.0.5') {
  const metadata = { NAMESPACE: 'shop', SERVICE_ACCOUNT: account };
  const node = { id: `sidecar~${address}~web.shop~shop.svc.cluster.local`, metadata };
  const made = { id, node, serial: 'a', connected: true, isConnected: () => made.connected };
  return made;
}
const report = (name: string, reason?: string) =>
  new EntryWriter(store).setCondition(entryKey('shop', name), HEALTHY, {
    type: HEALTHY,
    status: 'False',
    ...(reason && { reason }),
  });
const reportAll = async (reason?: string) => {
  for (const { metadata } of ENTRIES) await report(metadata.name, reason);
};
/** Names of the entries that have the condition. */
async function judged(): Promise<string[]> {
  const names: string[] = [];
  for (const { metadata } of ENTRIES) {
    const stored = await store.get(entryKey('shop', metadata.name));
    if (stored && conditionsOf(stored).some(({ type }) => type === HEALTHY)) names.push(metadata.name);
  }
  return names;
}
const ALL = ['web', 'other-account', 'registered'];
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

it('the verdict goes the grace time after the last session of its proxy, of its own entry alone', async () => {
  watch.start([]);
  const [first, second] = [proxy('one'), proxy('two')];
  watch.seen(first);
  watch.seen(second);
  await reportAll();
  first.connected = false;
  await pass(30_000);
  expect(await judged()).toEqual(ALL);
  second.connected = false;
  await pass(9000);
  expect(await judged()).toEqual(ALL);
  await pass(3000);
  await vi.waitFor(async () => expect(await judged()).toEqual(['other-account', 'registered']));
});

it.each(['one', 'two'])('it stays where the proxy is back in time, by session %s', async (session) => {
  watch.start([]);
  const first = proxy('one');
  watch.seen(first);
  await reportAll();
  first.connected = false;
  await pass(5000);
  first.connected = session === 'one';
  watch.seen(session === 'one' ? first : proxy('two'));
  await pass(60_000);
  expect(await judged()).toEqual(ALL);
});

it('it stays where the proxy said that it stops', async () => {
  watch.start([]);
  const first = proxy();
  watch.seen(first);
  await reportAll(DRAINING);
  first.connected = false;
  await pass(30_000);
  expect(await judged()).toEqual(ALL);
});

it('after a start, proxies have time to come back', async () => {
  watch.start(ENTRIES);
  await reportAll();
  await pass(30_000);
  watch.seen(proxy());
  await pass(28_000);
  expect(await judged()).toEqual(ALL);
  await pass(5000);
  await vi.waitFor(async () => expect(await judged()).toEqual(['web', 'registered']));
});

it('nodes without a usable address are not kept', async () => {
  watch.start([]);
  watch.seen(proxy('one', 'web', 'elsewhere'));
  await reportAll();
  await pass(30_000);
  expect(await judged()).toEqual(ALL);
});

it('the verdict stays while its proxy is connected to another control plane, and while that one cannot be asked', async () => {
  watch.start([]);
  const one = proxy();
  watch.seen(one);
  await report('web');
  one.connected = false;
  elsewhere = async () => {
    throw new Error('it does not answer');
  };
  await pass(12_000);
  expect([await judged(), reported]).toEqual([['web'], ['it does not answer']]);
  elsewhere = async () => true;
  await pass(12_000);
  expect(await judged()).toEqual(['web']);
  elsewhere = async () => false;
  watch.expect(ENTRIES);
  await pass(62_000);
  expect(await judged()).toEqual([]);
  expect(reported).toHaveLength(1);
});
