import { afterEach, describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceKey, ResourceStore, WatchEvent } from '../store/store.ts';
import { StoreError } from '../store/store.ts';
import { MeshFollower } from './follow-store.ts';
import type { MeshView } from './view.ts';

const key = (name: string): ResourceKey => ({
  group: 'networking.istio.io',
  plural: 'serviceentries',
  namespace: 'default',
  name,
});
const entry = (name: string, host = `${name}.example.com`): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'default' },
  spec: { hosts: [host], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], resolution: 'DNS' },
});
const hosts = (view: MeshView) => view.services.map((service) => service.hostname);

let follower: MeshFollower | undefined;
afterEach(async () => {
  await follower?.stop();
});

/** The first view that `accepts` takes, the current one included. */
function until(source: MeshFollower, accepts: (view: MeshView) => boolean): Promise<MeshView> {
  return new Promise((resolve) => {
    const off = source.onChange((view) => {
      if (!accepts(view)) return;
      off();
      resolve(view);
    });
    if (accepts(source.current())) {
      off();
      resolve(source.current());
    }
  });
}

describe('MeshFollower', () => {
  it('begins with what is stored and follows every write', async () => {
    const store = memoryStore();
    await store.create(key('a'), entry('a'));
    follower = new MeshFollower(store, { quietMs: 1 });
    expect(() => follower?.current()).toThrow('start');
    await follower.start();
    expect(hosts(follower.current())).toEqual(['a.example.com']);
    await store.create(key('b'), entry('b'));
    await until(follower, (view) => hosts(view).length === 2);
    await store.update(key('b'), entry('b', 'c.example.com'));
    await until(follower, (view) => hosts(view).includes('c.example.com'));
    await store.delete(key('a'));
    const last = await until(follower, (view) => hosts(view).length === 1);
    expect(hosts(last)).toEqual(['c.example.com']);
    expect(last.revision).toBe(await store.revision());
  });

  it('lists again when history is gone', async () => {
    const inner = memoryStore();
    let watches = 0;
    const store = Object.assign(Object.create(inner) as ResourceStore, {
      list: inner.list.bind(inner),
      watch(...args: Parameters<ResourceStore['watch']>): AsyncIterable<WatchEvent> {
        watches += 1;
        if (watches > 1) return inner.watch(...args);
        const next = async (): Promise<IteratorResult<WatchEvent>> => {
          await inner.create(key('late'), entry('late'));
          throw new StoreError('gone', 'history is gone');
        };
        return { [Symbol.asyncIterator]: () => ({ next }) };
      },
    });
    follower = new MeshFollower(store, { quietMs: 1 });
    await follower.start();
    const view = await until(follower, (candidate) => hosts(candidate).length === 1);
    expect(hosts(view)).toEqual(['late.example.com']);
    expect(watches).toBeGreaterThan(1);
  });

  it('keeps the last good view when the mesh configuration cannot be read', async () => {
    const store = memoryStore();
    const failed = Promise.withResolvers<unknown>();
    follower = new MeshFollower(store, { quietMs: 1, onError: failed.resolve });
    await follower.start();
    const config = { group: '', plural: 'configmaps', namespace: 'istio-system', name: 'istio' };
    await store.create(config, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'istio-system' },
      data: { mesh: 'outboundTrafficPolicy: {mode: SOMETIMES}' },
    } as Resource);
    expect(String(await failed.promise)).toContain('outboundTrafficPolicy');
    expect(follower.current().settings.outboundTrafficPolicy).toBe('ALLOW_ANY');
  });

  it('tells what it ignores in the mesh configuration, once', async () => {
    const store = memoryStore();
    const warned: string[] = [];
    follower = new MeshFollower(store, { quietMs: 1, onWarning: (warning) => warned.push(warning) });
    await follower.start();
    const config = { group: '', plural: 'configmaps', namespace: 'istio-system', name: 'istio' };
    await store.create(config, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'istio-system' },
      data: {
        mesh: 'trustDomian: b\ntrustDomain: c\n',
        meshNetworks: 'networks: {n1: {endpoints: [{fromRegistry: a}]}}',
      },
    } as Resource);
    const view = await until(follower, (candidate) => candidate.settings.trustDomain === 'c');
    expect(view.settings.networks).toEqual({ networks: { n1: { endpoints: [{ fromRegistry: 'a' }] } } });
    await store.create(key('late'), entry('late'));
    await until(follower, (candidate) => hosts(candidate).length === 1);
    expect(warned).toEqual([
      'data.mesh: trustDomian: unknown field "trustDomian" (did you mean "trustDomain"?): it is ignored',
      'data.meshNetworks: networks: n1.endpoints[0].fromRegistry has no effect: the mesh has one registry; name the network in the endpoint or by fromCidr',
    ]);
  });
});
