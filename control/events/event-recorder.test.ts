import { afterEach, describe, expect, it, vi } from 'vitest';
import { kinds, validate } from '../../shared/resources/index.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { MeshFollower } from '../mesh/follow-store.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { EventCounter, type Occurrence } from './event-counter.ts';
import { EVENTS } from './event-keeper.ts';
import { EventRecorder, type EventRecorderOptions } from './event-recorder.ts';
import { openMeshEvents } from './mesh-events.ts';

const START = Date.parse('2026-01-02T03:04:05Z');
const close: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of close.splice(0)) await each();
});

const keyOf = ({ kind, metadata: { namespace = '', name } }: Resource) => {
  const { group, plural } = kinds.find((each) => each.kind === kind)!;
  return { group, plural, namespace, name };
};
const cart = { apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', namespace: 'shop', name: 'cart' };
const happened = (message: string, more: Partial<Occurrence> = {}): Occurrence => ({
  about: cart,
  type: 'Warning',
  reason: 'ConfigRejected',
  message,
  ...more,
});
type Event = Resource & { involvedObject: object; message: string; count: number; lastTimestamp: string };
const eventsIn = async (store: ResourceStore) => (await store.list({ kind: EVENTS })).items as Event[];

async function setUp(options: Partial<EventRecorderOptions> = {}) {
  const clock = { now: START };
  const store = memoryStore();
  for (const name of ['default', 'shop'])
    await store.create(
      { group: '', plural: 'namespaces', namespace: '', name },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    );
  const onError = (error: unknown) => {
    throw error;
  };
  const recorder = new EventRecorder({
    store,
    keyOf,
    host: 'one',
    ttlMs: 3_600_000,
    onError,
    now: () => clock.now,
    gatherMs: 1,
    againMs: 50,
    ...options,
  });
  close.push(() => recorder.close());
  return { clock, store, recorder };
}

describe('event recorder', () => {
  it('writes an event that the API would take, about the object as it is stored', async () => {
    const { clock, store, recorder } = await setUp();
    const { metadata } = await store.create(keyOf({ ...cart, metadata: cart }), {
      ...cart,
      metadata: { name: 'cart' },
    });
    recorder.record(happened('listeners: no'));
    clock.now += 5;
    await vi.waitFor(async () => expect(await eventsIn(store)).toHaveLength(1));
    const [event] = await eventsIn(store);
    expect(event).toMatchObject({
      metadata: { name: expect.stringMatching(/^cart\.[0-9a-f]+$/), namespace: 'shop' },
      involvedObject: { ...cart, uid: metadata.uid },
      reason: 'ConfigRejected',
      message: 'listeners: no',
      type: 'Warning',
      source: { component: 'tulle', host: 'one' },
      firstTimestamp: '2026-01-02T03:04:05Z',
      count: 1,
    });
    expect(validate(event).violations).toEqual([]);
  });

  it('counts what happens again, with few writes', async () => {
    const { clock, store, recorder } = await setUp();
    const revision = await store.revision();
    for (let i = 0; i < 20; i++) recorder.record(happened('no'));
    clock.now += 5;
    await vi.waitFor(async () => expect((await eventsIn(store))[0]?.count).toBe(20));
    recorder.record(happened('no'));
    recorder.record(happened('no'));
    clock.now += 60_000;
    await vi.waitFor(async () => expect((await eventsIn(store))[0]?.count).toBe(22));
    expect(await eventsIn(store)).toHaveLength(1);
    expect((await store.revision()) - revision).toBe(2);
  });

  it('writes a counted event again when its first one is gone', async () => {
    const { clock, store, recorder } = await setUp();
    recorder.record(happened('no'));
    clock.now += 5;
    await vi.waitFor(async () => expect(await eventsIn(store)).toHaveLength(1));
    const [{ metadata }] = (await eventsIn(store)) as [Event];
    await store.delete({ ...EVENTS, namespace: 'shop', name: metadata.name });
    recorder.record(happened('no'));
    clock.now += 60_000;
    await vi.waitFor(async () => expect((await eventsIn(store))[0]?.count).toBe(2));
  });

  it('writes nothing into a namespace that does not exist', async () => {
    const { clock, store, recorder } = await setUp();
    recorder.record(happened('no', { about: { ...cart, namespace: 'gone' } }));
    recorder.record(happened('yes', { about: { kind: 'Namespace', apiVersion: 'v1', name: 'istio-system' } }));
    clock.now += 5;
    await vi.waitFor(async () =>
      expect((await eventsIn(store)).map(({ metadata }) => metadata.namespace)).toEqual(['default']),
    );
  });
});

describe('event counter', () => {
  const hour = 3_600_000;

  it('makes one event of many that differ in their message alone', () => {
    const counter = new EventCounter();
    const taken = Array.from({ length: 14 }, (_, i) => counter.take(happened(`message ${i}`), START + i, hour)!);
    expect(new Set(taken).size).toBe(11);
    expect(taken.at(-1)).toMatchObject({
      occurrence: { message: '(combined from similar events): message 10' },
      count: 4,
    });
  });

  it('takes a number of one object at once, then one each five minutes, and others as before', () => {
    const counter = new EventCounter();
    const take = (at: number, name = 'cart') =>
      counter.take(happened('no', { about: { ...cart, name } }), START + at, hour);
    const first = Array.from({ length: 30 }, () => take(0));
    expect(first.filter((each) => each !== undefined)).toHaveLength(25);
    expect(take(0, 'other')).toBeDefined();
    expect(take(299_999)).toBeUndefined();
    expect(take(300_000)).toBeDefined();
    expect(take(300_001)).toBeUndefined();
  });

  it('begins another event where the first one may have gone', () => {
    const counter = new EventCounter();
    const first = counter.take(happened('no'), START, hour)!;
    expect(counter.take(happened('no'), START + hour, hour)).toBe(first);
    expect(counter.take(happened('no'), START + 2 * hour + 1, hour)).toMatchObject({ count: 1 });
  });
});

describe('events of the mesh', () => {
  it('are about the objects that they concern, and are not seen by the mesh', async () => {
    const { store } = await setUp();
    const mesh = new MeshFollower(store);
    await mesh.start();
    close.push(() => mesh.stop());
    let changes = 0;
    mesh.onChange(() => {
      changes += 1;
    });
    const onError = (error: unknown) => {
      throw error;
    };
    const events = await openMeshEvents({ store, keyOf, host: 'one', onError });
    close.push(() => events.stop());
    const { taker } = events;
    const identity = 'spiffe://cluster.local/ns/shop/sa/cart';
    const node = 'sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local';
    taker.rejected?.({ node, type: 'listeners', reason: 'a: no' });
    taker.joined?.({ identity, group: 'machines', by: 'token 1', address: '10.0.0.1' });
    taker.issued?.({ identity, proof: 'certificate', document: 'X.509-SVID', expires: START });
    taker.issued?.({ identity, proof: 'certificate', document: 'JWT-SVID', expires: START });
    taker.registration?.({ what: 'created', entry: 'shop/machines-1', reason: undefined });
    taker.workloadHealth?.({ namespace: 'shop', name: 'machines-1', healthy: false, message: 'no answer' });
    taker.rotated?.({ phase: 'announced' });
    events.onCondition(
      { ...cart, metadata: { name: 'cart', namespace: 'shop' } },
      { type: 'Reconciled', status: 'False', reason: 'RuleNotTranslated', message: 'http[0]: no' },
    );
    const shown = async () =>
      ((await eventsIn(store)) as (Event & { type: string; reason: string; involvedObject: Record<string, string> })[])
        .map(({ type, reason, involvedObject: { kind, name } }) => `${type} ${reason} ${kind}/${name}`)
        .sort();
    await vi.waitFor(async () =>
      expect(await shown()).toEqual([
        'Normal CertificateIssued ServiceAccount/cart',
        'Normal MachineJoined WorkloadGroup/machines',
        'Normal RootAnnounced Namespace/istio-system',
        'Normal WorkloadJoined WorkloadEntry/machines-1',
        'Warning ConfigRejected Proxy/cart-1',
        'Warning RuleNotTranslated VirtualService/cart',
        'Warning WorkloadUnhealthy WorkloadEntry/machines-1',
      ]),
    );
    for (const event of await eventsIn(store)) expect(validate(event).violations).toEqual([]);
    // A resource of the mesh comes in after the events: the mesh has seen everything before it.
    await store.create(
      { group: '', plural: 'namespaces', namespace: '', name: 'z' },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'z' } },
    );
    await vi.waitFor(() => expect(changes).toBe(1));
    expect(mesh.current().resources('Event' as never)).toEqual([]);
  });
});
