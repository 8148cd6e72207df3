import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { buildView } from './build-view.ts';
import { MeshIndex } from './mesh-index.ts';
import { applied, writes } from './testing/random-writes.ts';
import type { MeshView } from './view.ts';

const RUNS = Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 200;

/** Everything a view says, without the kinds' order of equals. */
function said(view: MeshView): unknown {
  return view.services.map((service) => ({
    service,
    endpoints: view.endpoints(service),
    at: view.endpoints(service).map(({ address }) => view.servicesAt(address)),
    entries: view
      .endpoints(service)
      .map(({ address }) => view.workloadEntriesAt(address, service.namespace).map(({ metadata }) => metadata.name)),
    found: view.service(service.hostname, service.namespace) === service,
  }));
}

const entry = (name: string, app: string, weight = 1, address = '10.0.0.1'): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name, namespace: 'shop' },
  spec: { address, weight, labels: { app } },
});
const service = (app: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: app, namespace: 'shop' },
  spec: {
    hosts: [`${app}.example.com`],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    workloadSelector: { labels: { app } },
  },
});

describe('MeshIndex', () => {
  it('gives the view that the resources give at once, whatever the writes that led to them', () => {
    fc.assert(
      fc.property(writes, fc.integer({ min: 1, max: 5 }), (all, size) => {
        const index = new MeshIndex();
        const resources = new Map<string, Resource>();
        for (let at = 0; at < all.length; at += size) {
          const { view } = index.apply(applied(resources, all.slice(at, at + size)), at);
          const whole = buildView([...resources.values()], at);
          expect(said(view)).toEqual(said(whole));
          expect(view.settings).toEqual(whole.settings);
          for (const kind of ['VirtualService', 'DestinationRule', 'WorkloadEntry'])
            expect(view.resources(kind)).toEqual(whole.resources(kind));
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('keeps the identity of what a write leaves alone, and says what it changed', () => {
    const index = new MeshIndex();
    const first = entry('one', 'a');
    const { view: before } = index.apply(
      { removed: [], added: [service('a'), service('b'), first, entry('two', 'b', 1, '10.0.0.2')] },
      1,
    );
    const { view, change } = index.apply({ removed: [first], added: [entry('one', 'a', 5)] }, 2);
    const [a, b] = view.services;
    expect(view.services).toBe(before.services);
    expect(view.settings).toBe(before.settings);
    expect(view.endpoints(b!)).toBe(before.endpoints(b!));
    expect(view.endpoints(a!)).toMatchObject([{ weight: 5 }]);
    expect(before.endpoints(a!)).toMatchObject([{ weight: 1 }]);
    expect(view.resources('ServiceEntry')).toBe(before.resources('ServiceEntry'));
    expect([...change.resources]).toEqual([['WorkloadEntry', new Set(['shop/one'])]]);
    expect(change.endpoints).toEqual(new Set(['shop/a.example.com']));
    expect(change.services.size).toBe(0);
    expect(view.endpointsChangedSince(before)).toEqual([a]);
    expect(view.endpointsChangedSince(view)).toEqual([]);
    expect(view.endpointsChangedSince(buildView([], 1))).toBeUndefined();
  });

  it('names a service whose neighbour at an address changed', () => {
    const index = new MeshIndex();
    const first = entry('one', 'a');
    const added = [service('a'), service('b'), first, entry('two', 'b')];
    const { view: before } = index.apply({ removed: [], added }, 1);
    const { view } = index.apply({ removed: [first], added: [] }, 2);
    expect(view.endpointsChangedSince(before)).toEqual(view.services);
    const [, b] = view.services;
    expect(view.servicesAt('10.0.0.1')).toEqual([b]);
    expect(view.workloadEntriesAt('10.0.0.1', 'shop')).toHaveLength(1);
  });

  it('takes nothing of a step whose mesh configuration cannot be read', () => {
    const index = new MeshIndex();
    const bad = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'istio-system' },
      data: { mesh: 'outboundTrafficPolicy: {mode: SOMETIMES}' },
    } as Resource;
    expect(() => index.apply({ removed: [], added: [bad, service('a')] }, 1)).toThrow('outboundTrafficPolicy');
    const { view } = index.apply({ removed: [], added: [service('a')] }, 2);
    expect(view.services).toHaveLength(1);
  });
});
