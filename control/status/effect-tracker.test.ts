import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { TYPE_URLS } from '../../shared/xds/discovery.ts';
import { nackMessage } from '../../shared/xds/nack.ts';
import { fixedCompile } from '../compile/testing/fixed-compile.ts';
import { DiscoveryService } from '../discovery/service.ts';
import type { MeshListener } from '../mesh/follow-store.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import { meshChange } from '../mesh/testing/mesh-change.ts';
import type { MeshView } from '../mesh/view.ts';
import { effectCondition } from './effect.ts';
import { EffectTracker } from './effect-tracker.ts';

const route = (name: string, generation = 1, kind = 'VirtualService'): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop', uid: `uid of ${name}`, generation },
});
const session = (id: string) => ({ id });

const open: EffectTracker[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

function setUp() {
  const gone = new Set<object>();
  const reported: string[] = [];
  const tracker = new EffectTracker({
    isConnected: (each) => !gone.has(each),
    onEffect: ({ metadata }) => reported.push(metadata.name),
    timing: { firstMs: 1, againMs: 5, perResourceMs: 0 },
  });
  open.push(tracker);
  const text = (resource: Resource) => {
    const effect = tracker.effectOf(resourceId(resource), resource.metadata.uid);
    if (!effect) return undefined;
    const { status, reason, message } = effectCondition(effect);
    return `${status} ${reason}: ${message}`;
  };
  const becomes = (resource: Resource, expected: string) => vi.waitFor(() => expect(text(resource)).toBe(expected));
  return { tracker, gone, reported, text, becomes };
}
const change = (...written: Resource[]) => ({ written, deleted: [] });

describe('effect of changes', () => {
  it('counts the proxies that a change concerns, until each has acknowledged it', async () => {
    const { tracker, becomes } = setUp();
    const [a, b, c] = [session('a'), session('b'), session('c')];
    tracker.changed(1, change(route('cart')), () => [a, b, c]);
    tracker.refreshed(a, 0, 1, true);
    await becomes(route('cart'), 'Unknown WaitingForProxies: effective on 0 of 1 proxies; 1 not acknowledged yet');
    tracker.refreshed(b, 0, 1, true);
    tracker.refreshed(c, 0, 1, false);
    tracker.settled(a, 'a', []);
    await becomes(route('cart'), 'Unknown WaitingForProxies: effective on 1 of 2 proxies; 1 not acknowledged yet');
    tracker.settled(b, 'b', []);
    await becomes(route('cart'), 'True Effective: effective on 2 of 2 proxies');
    // A change of another resource does not touch it.
    tracker.changed(2, change(route('other')), () => [a, b, c]);
    for (const each of [a, b, c]) tracker.refreshed(each, 1, 2, false);
    await becomes(route('other'), 'True NoProxyConcerned: no connected proxy is concerned');
    await becomes(route('cart'), 'True Effective: effective on 2 of 2 proxies');
  });

  it('names who refuses it, why, and ends that when the proxy refuses it no more', async () => {
    const { tracker, becomes } = setUp();
    const [a, b] = [session('a'), session('b')];
    // What it refused before the change is not because of the change.
    tracker.settled(a, 'a', [{ key: 'old', message: 'listeners x: old' }]);
    tracker.changed(1, change(route('cart')), () => [a, b]);
    for (const each of [a, b]) tracker.refreshed(each, 0, 1, true);
    const refused = { key: 'clusters c 1', message: 'clusters c: no' };
    tracker.settled(a, 'a', [{ key: 'old', message: 'listeners x: old' }]);
    tracker.settled(b, 'b', [refused]);
    await becomes(route('cart'), 'False RefusedByProxies: effective on 1 of 2 proxies; refused by b: clusters c: no');
    // A later change that the same proxy takes, while it still refuses the first.
    tracker.changed(2, change(route('other')), () => [a, b]);
    tracker.refreshed(a, 1, 2, false);
    tracker.refreshed(b, 1, 2, true);
    tracker.settled(b, 'b', [refused]);
    await becomes(route('other'), 'True Effective: effective on 1 of 1 proxies');
    await becomes(route('cart'), 'False RefusedByProxies: effective on 1 of 2 proxies; refused by b: clusters c: no');
    tracker.settled(b, 'b', []);
    await becomes(route('cart'), 'True Effective: effective on 2 of 2 proxies');
  });

  it('counts a failure to compile as a refusal, until it is compiled', async () => {
    const { tracker, becomes } = setUp();
    const a = session('a');
    tracker.changed(1, change(route('cart')), () => [a]);
    tracker.failed(a, 0, 1, { proxy: 'a', message: 'cannot' });
    await becomes(route('cart'), 'False RefusedByProxies: effective on 0 of 1 proxies; refused by a: cannot');
    tracker.refreshed(a, 1, 2, true);
    tracker.settled(a, 'a', []);
    await becomes(route('cart'), 'True Effective: effective on 1 of 1 proxies');
  });

  it('does not wait for proxies that have gone, and counts those that come back', async () => {
    const { tracker, gone, becomes } = setUp();
    const [a, b, c] = [session('a'), session('b'), session('c')];
    tracker.changed(1, change(route('cart')), () => [a, b, c]);
    for (const each of [a, b]) tracker.refreshed(each, 0, 1, true);
    tracker.settled(a, 'a', []);
    gone.add(b);
    gone.add(c);
    await becomes(route('cart'), 'True Effective: effective on 1 of 1 proxies');
    gone.delete(b);
    tracker.settled(b, 'b', []);
    await becomes(route('cart'), 'True Effective: effective on 2 of 2 proxies');
    tracker.left(c);
    tracker.left(b);
    await becomes(route('cart'), 'True Effective: effective on 2 of 2 proxies');
  });

  it('says that one of several resources may be the cause, and keeps the last change of each', async () => {
    const { tracker, becomes, text } = setUp();
    const a = session('a');
    tracker.changed(1, change(route('cart'), route('edge', 1, 'Gateway'), route('w', 1, 'WorkloadEntry')), () => [a]);
    tracker.refreshed(a, 0, 1, true);
    tracker.settled(a, 'a', [{ key: 'k', message: 'no' }]);
    await becomes(
      route('cart'),
      'False RefusedByProxies: effective on 0 of 1 proxies; refused by a: no; 1 more resources were written at the same time, and one of them may be the cause',
    );
    expect(text(route('w', 1, 'WorkloadEntry'))).toBeUndefined();
    // The same generation with other annotations is no other change; another generation is, and nothing is known of another uid.
    tracker.changed(2, change(route('cart')), () => [a]);
    expect(text(route('cart'))).toMatch(/^False/);
    tracker.changed(3, change(route('cart', 2)), () => [a]);
    expect(text(route('cart', 2))).toMatch(/^Unknown WaitingForProxies: effective on 0 of 0 proxies so far/);
    expect(tracker.effectOf(resourceId(route('cart')), 'another')).toBeUndefined();
    tracker.changed(4, { written: [], deleted: [route('cart', 2)] }, () => [a]);
    expect(text(route('cart', 2))).toBeUndefined();
  });

  it('costs nothing while no proxy is connected', async () => {
    const { tracker, reported, text } = setUp();
    tracker.changed(1, change(route('cart')), () => []);
    expect(text(route('cart'))).toBeUndefined();
    expect(reported).toEqual([]);
  });

  it('does a work for each change that grows with the sessions and the resources, not with their product', () => {
    const { tracker } = setUp();
    const sessions = Array.from({ length: 2000 }, (_, i) => session(`${i}`));
    const resources = Array.from({ length: 2000 }, (_, i) => route(`r${i}`));
    const began = performance.now();
    tracker.changed(1, change(...resources), () => sessions);
    for (const each of sessions) tracker.refreshed(each, 0, 1, true);
    for (const each of sessions) tracker.settled(each, each.id, []);
    for (const each of resources) tracker.effectOf(resourceId(each), each.metadata.uid);
    // Four million steps take seconds.
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

describe('discovery', () => {
  it('tells of ACKs and NACKs of what a change made', async () => {
    let revision = 1;
    const listeners = new Set<MeshListener>();
    const timeouts = new Map([['a', '1s']]);
    const { tracker, becomes } = setUp();
    const view = () => ({ revision }) as MeshView;
    const service = new DiscoveryService({
      compile: fixedCompile(() => ({
        secrets: [],
        clusters: [...timeouts].map(([name, connectTimeout]) => ({ name, connectTimeout })),
        endpoints: [],
        listeners: [],
        routes: [],
      })),
      mesh: {
        current: view,
        onChange(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      holdMs: 50,
      effects: tracker,
    });
    const node = { id: 'sidecar~10.0.0.1~a.default~x' };
    const poll = (request: object) =>
      service.poll({ node, ...request } as never, 'spiffe://x/ns/default/sa/a', new AbortController().signal);
    const typeUrl = TYPE_URLS.clusters;
    const write = (resource: Resource, timeout: string) => {
      timeouts.set('a', timeout);
      revision++;
      const described = { ...meshChange({ VirtualService: ['shop/cart'] }), written: [resource] };
      for (const listener of listeners) listener(view(), described);
    };
    const first = await poll({ requests: [{ typeUrl, resourceNamesSubscribe: ['*'] }] });
    const { session } = first;
    const answer = (responseNonce: string, message?: string) => ({
      session,
      requests: [{ typeUrl, responseNonce, ...(message && { errorDetail: { code: 3, message } }) }],
    });
    let held = poll(answer(first.responses[0]!.nonce));
    await vi.waitFor(() => expect(service.held).toBe(1));
    write(route('cart'), '2s');
    held = poll(answer((await held).responses[0]!.nonce));
    await becomes(route('cart'), 'True Effective: effective on 1 of 1 proxies');
    write(route('cart', 2), '3s');
    const { nonce } = (await held).responses[0]!;
    held = poll(answer(nonce, nackMessage(new Map([['a', 'not so long']]))));
    await becomes(
      route('cart', 2),
      `False RefusedByProxies: effective on 0 of 1 proxies; refused by ${node.id}: clusters a: not so long`,
    );
    write(route('cart', 3), '1s');
    held = poll(answer((await held).responses[0]!.nonce));
    await becomes(route('cart', 3), 'True Effective: effective on 1 of 1 proxies');
    service.close();
    await held;
  });
});
