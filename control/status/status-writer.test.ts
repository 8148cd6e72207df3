import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding, FindingReason } from '../compile/output/finding.ts';
import { MeshFollower } from '../mesh/follow-store.ts';
import { memoryStore } from '../store/memory.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { StatusWriter, type StatusWriterOptions } from './status-writer.ts';

const keyOf = ({ metadata: { namespace = '', name } }: Resource): ResourceKey => ({
  group: 'networking.istio.io',
  plural: 'virtualservices',
  namespace,
  name,
});
const route = (name: string, spec: object = {}): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'shop' },
  spec,
});
const finding = (about: Resource, message: string, reason: FindingReason = 'RuleNotTranslated'): Finding => ({
  about,
  message,
  reason,
});
const quick = { gatherMs: 1, clearMs: 2, inheritMs: 50, retryMs: 1 };
const NOW = new Date('2026-01-02T03:04:05.678Z');

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

function writer(store: StatusWriterOptions['store'], options: Partial<StatusWriterOptions> = {}) {
  const made = new StatusWriter({ store, keyOf, now: () => NOW, timing: quick, ...options });
  open.push(made);
  return made;
}

const statusOf = async (store: ResourceStore, name: string) =>
  (await store.get(keyOf(route(name))))?.status as { conditions: Record<string, unknown>[] } | undefined;

describe('status writer', () => {
  it('writes one condition a type: a new resourceVersion, the same generation', async () => {
    const store = memoryStore();
    const cart = await store.create(keyOf(route('cart')), route('cart'));
    const status = writer(store);
    status.report('proxy 1', [finding(cart, 'http[1]: b'), finding(cart, 'http[0]: a', 'FieldWithoutEffect')]);
    status.report('proxy 2', [finding(cart, 'http[0]: a')]);
    await vi.waitFor(async () =>
      expect((await statusOf(store, 'cart'))?.conditions).toEqual([
        {
          type: 'Reconciled',
          status: 'False',
          reason: 'RuleNotTranslated',
          message: 'http[0]: a; http[1]: b',
          observedGeneration: 1,
          lastTransitionTime: '2026-01-02T03:04:05Z',
        },
        expect.objectContaining({ type: 'FullyInEffect', status: 'False', reason: 'FieldWithoutEffect' }),
      ]),
    );
    const { metadata } = (await store.get(keyOf(cart)))!;
    expect(metadata).toEqual({ ...cart.metadata, resourceVersion: metadata.resourceVersion });
    expect(Number(metadata.resourceVersion)).toBeGreaterThan(Number(cart.metadata.resourceVersion));
  });

  it('clears a condition when no reporter finds anything, and keeps what others wrote', async () => {
    const store = memoryStore();
    const cart = await store.create(keyOf(route('cart')), route('cart'));
    const others = { validationMessages: [{ level: 'WARNING' }], conditions: [{ type: 'Other', status: 'True' }] };
    await store.updateStatus(keyOf(cart), others);
    const status = writer(store);
    const [one, two] = [{}, {}];
    status.report(one, [finding(cart, 'bad')]);
    status.report(two, [finding(cart, 'bad')]);
    await vi.waitFor(async () => expect((await statusOf(store, 'cart'))?.conditions).toHaveLength(2));
    status.report(one, []);
    const fixed = await store.update(keyOf(cart), route('cart', { hosts: ['a'] }));
    status.report(two, []);
    await vi.waitFor(async () =>
      expect(await statusOf(store, 'cart')).toEqual({
        ...others,
        conditions: [
          { type: 'Other', status: 'True' },
          expect.objectContaining({
            type: 'Reconciled',
            status: 'True',
            observedGeneration: fixed.metadata.generation,
          }),
        ],
      }),
    );
  });

  it('writes nothing where nothing is found, nor what is written already, whatever the order of reporters', async () => {
    const store = memoryStore();
    const [cart, pay] = [
      await store.create(keyOf(route('cart')), route('cart')),
      await store.create(keyOf(route('pay')), route('pay')),
    ];
    const first = writer(store);
    first.report('a', [finding(cart, 'x'), finding(cart, 'y')]);
    await vi.waitFor(async () => expect(await statusOf(store, 'cart')).toBeDefined());
    await first.close();
    const revision = await store.revision();
    const updateStatus = vi.fn(store.updateStatus.bind(store));
    const get = vi.fn(store.get.bind(store));
    const second = writer({ get, updateStatus, list: store.list.bind(store) });
    await second.start();
    second.report('fields', []);
    second.report('b', [finding(cart, 'y')]);
    second.report('c', [finding(cart, 'x')]);
    second.report('d', [finding(pay, 'z')]);
    await vi.waitFor(() => expect(updateStatus).toHaveBeenCalledTimes(1));
    await vi.waitFor(async () => expect(await statusOf(store, 'pay')).toBeDefined());
    expect(get.mock.calls.some(([key]) => key.name === 'cart')).toBe(true);
    expect(await store.revision()).toBe(revision + 1);
  });

  it('keeps for a while what a control plane before it had found by compiling, then clears it', async () => {
    const store = memoryStore();
    const cart = await store.create(keyOf(route('cart')), route('cart'));
    const before = writer(store);
    before.report('a', [finding(cart, 'x'), finding(cart, 'y', 'FieldWithoutEffect')]);
    await vi.waitFor(async () => expect((await statusOf(store, 'cart'))?.conditions).toHaveLength(2));
    await before.close();
    const after = writer(store, { timing: { ...quick, inheritMs: 300 } });
    await after.start();
    const state = async () => (await statusOf(store, 'cart'))?.conditions.map(({ status }) => status);
    await vi.waitFor(async () => expect(await state()).toEqual(['False', 'True']));
    await vi.waitFor(async () => expect(await state()).toEqual(['True', 'True']));
  });

  it('attempts a write again that lost against another, and one that the store refused', async () => {
    const store = memoryStore();
    const cart = await store.create(keyOf(route('cart')), route('cart'));
    const refusals = [new StoreError('conflict', 'changed'), new StoreError('unavailable', 'disk full')];
    const errors: unknown[] = [];
    const status = writer(
      {
        get: (key) => store.get(key),
        list: (selection) => store.list(selection),
        updateStatus: async (key, next, precondition) => {
          expect(precondition).toEqual({ uid: cart.metadata.uid, resourceVersion: cart.metadata.resourceVersion });
          const refusal = refusals.shift();
          if (refusal) throw refusal;
          return store.updateStatus(key, next, precondition);
        },
      },
      { onError: (error) => errors.push(error) },
    );
    status.report('a', [finding(cart, 'x')]);
    await vi.waitFor(async () => expect(await statusOf(store, 'cart')).toBeDefined());
    expect(errors).toEqual([expect.objectContaining({ code: 'unavailable' })]);
  });

  it('sets one timer for what is due together, and an earlier one for what is due before', async () => {
    const status = writer(memoryStore(), { timing: { gatherMs: 60_000, clearMs: 90_000 } });
    const timers = vi.spyOn(globalThis, 'setTimeout');
    try {
      for (let i = 0; i < 1000; i++) status.report(`fields ${i}`, [finding(route(`r-${i}`), 'x')]);
      expect(timers).toHaveBeenCalledTimes(1);
      const late = writer(memoryStore(), { timing: { gatherMs: 60_000, clearMs: 90_000 } });
      late.report('a', [finding(route('a'), 'x')]);
      late.report('a', []);
      expect(timers).toHaveBeenCalledTimes(2);
      const early = writer(memoryStore(), { timing: { gatherMs: 60_000, clearMs: 30_000 } });
      early.report('a', [finding(route('a'), 'x')]);
      early.report('a', []);
      expect(timers).toHaveBeenCalledTimes(4);
    } finally {
      timers.mockRestore();
    }
  });

  it('says nothing of a resource that was deleted and created again since', async () => {
    const store = memoryStore();
    const old = await store.create(keyOf(route('cart')), route('cart'));
    await store.delete(keyOf(old));
    await store.create(keyOf(route('cart')), route('cart'));
    const pay = await store.create(keyOf(route('pay')), route('pay'));
    const status = writer(store);
    status.report('a', [finding(old, 'x'), finding(pay, 'y')]);
    await vi.waitFor(async () => expect(await statusOf(store, 'pay')).toBeDefined());
    expect(await statusOf(store, 'cart')).toBeUndefined();
  });

  it('does not reach the mesh: its writes are no change, and are not in the view', async () => {
    const store = memoryStore();
    const cart = await store.create(keyOf(route('cart')), route('cart'));
    const mesh = new MeshFollower(store, { quietMs: 1 });
    await mesh.start();
    open.push({ close: () => mesh.stop() });
    const seen = vi.fn();
    mesh.onChange(seen);
    const status = writer(store);
    status.report('a', [finding(cart, 'x')]);
    await vi.waitFor(async () => expect(await statusOf(store, 'cart')).toBeDefined());
    const before = mesh.current();
    // A write that the mesh does see comes after those it does not.
    await store.create(keyOf(route('pay')), route('pay'));
    await vi.waitFor(() => expect(seen).toHaveBeenCalledTimes(1));
    expect(seen.mock.calls[0]![1].resources).toEqual(new Map([['VirtualService', new Set(['shop/pay'])]]));
    const [first] = mesh.current().resources('VirtualService');
    expect(first).toBe(before.resources('VirtualService')[0]);
    expect(first).not.toHaveProperty('status');
  });
});
