import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { EVENTS, EventKeeper, type EventKeeperOptions } from './event-keeper.ts';

const START = Date.parse('2026-01-02T03:04:05Z');
const open: EventKeeper[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});

const key = (name: string, namespace = 'shop') => ({ ...EVENTS, namespace, name });
const event = (name: string, more: object = {}): Resource =>
  ({ apiVersion: 'v1', kind: 'Event', metadata: { name }, involvedObject: {}, message: 'm', ...more }) as Resource;

/** A store and a clock that a test moves. */
function setUp() {
  const clock = { now: START };
  const store = memoryStore({ now: () => new Date(clock.now) });
  const keep = async (options: Partial<EventKeeperOptions> = {}) => {
    const onError = (error: unknown) => {
      throw error;
    };
    const keeper = new EventKeeper({
      store,
      ttlMs: 60_000,
      sweepMs: 5,
      retryMs: 1,
      onError,
      now: () => clock.now,
      ...options,
    });
    open.push(keeper);
    await keeper.start();
    return keeper;
  };
  return { clock, store, keep };
}

const namesIn = async (store: ResourceStore, namespace?: string) =>
  (await store.list({ kind: EVENTS, ...(namespace && { namespace }) })).items.map(({ metadata }) => metadata.name);

describe('event keeper', () => {
  it('removes an event a time after its last write', async () => {
    const { clock, store, keep } = setUp();
    await keep();
    await store.create(key('a'), event('a'));
    await store.create(key('b'), event('b'));
    clock.now += 40_000;
    await store.update(key('b'), event('b', { count: 2 }));
    await vi.waitFor(async () => expect(await namesIn(store)).toEqual(['a', 'b']));
    clock.now += 30_000;
    await vi.waitFor(async () => expect(await namesIn(store)).toEqual(['b']));
    clock.now += 40_000;
    await vi.waitFor(async () => expect(await namesIn(store)).toEqual([]));
  });

  it('judges events of an earlier process by what they say, within their life so far', async () => {
    const { clock, store, keep } = setUp();
    await store.create(key('old'), event('old', { lastTimestamp: '2026-01-02T03:04:05Z' }));
    await store.create(
      key('seen'),
      event('seen', { series: { count: 3, lastObservedTime: '2026-01-02T03:05:50.000001Z' } }),
    );
    await store.create(key('future'), event('future', { lastTimestamp: '2099-01-01T00:00:00Z' }));
    await store.create(key('past'), event('past', { lastTimestamp: '1999-01-01T00:00:00Z' }));
    clock.now += 110_000;
    await keep();
    await vi.waitFor(async () => expect(await namesIn(store)).toEqual(['future', 'seen']));
    clock.now += 61_000;
    await vi.waitFor(async () => expect(await namesIn(store)).toEqual([]));
  });

  it('removes the oldest of a namespace that has too many, or too large ones, and no other', async () => {
    const { store, keep } = setUp();
    await keep({ perNamespace: { events: 3, characters: 4000 } });
    await store.create(key('other', 'bank'), event('other'));
    for (const name of ['a', 'b', 'c', 'd', 'e']) await store.create(key(name), event(name));
    await vi.waitFor(async () => expect(await namesIn(store, 'shop')).toEqual(['c', 'd', 'e']));
    await store.create(key('large'), event('large', { message: 'x'.repeat(3700) }));
    await vi.waitFor(async () => expect(await namesIn(store, 'shop')).toEqual(['large']));
    expect(await namesIn(store, 'bank')).toEqual(['other']);
  });

  it('lists again where history does not reach back', async () => {
    const clock = { now: START };
    const store = memoryStore({ now: () => new Date(clock.now), historyLimit: 5 });
    const { watch } = store;
    let slow: (() => void) | undefined;
    const held = new Promise<void>((resolve) => {
      slow = resolve;
    });
    const late = Object.assign(Object.create(store) as ResourceStore, {
      async *watch(...args: Parameters<ResourceStore['watch']>) {
        await held;
        yield* watch.apply(store, args);
      },
    });
    const errors: unknown[] = [];
    const keeper = new EventKeeper({
      store: late,
      ttlMs: 1000,
      sweepMs: 5,
      retryMs: 1,
      now: () => clock.now,
      onError: (error) => errors.push(error),
    });
    open.push(keeper);
    await keeper.start();
    for (let i = 0; i < 30; i++) await store.create(key(`e${i}`), event(`e${i}`));
    clock.now += 5000;
    slow!();
    await vi.waitFor(async () => expect(await namesIn(store)).toEqual([]));
    expect(errors).toEqual([]);
  });
});
