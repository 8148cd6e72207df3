import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding } from '../compile/output/finding.ts';
import { hostsWithAutoAddresses } from '../mesh/auto-addresses.ts';
import { MeshFollower } from '../mesh/follow-store.ts';
import { memoryStore } from '../store/memory.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { AddressAllocator } from './address-allocator.ts';
import { AddressRange } from './address-range.ts';

const keyOf = ({ metadata: { namespace = '', name } }: Resource): ResourceKey => ({
  group: 'networking.istio.io',
  plural: 'serviceentries',
  namespace,
  name,
});
const entry = (name: string, more: object = {}, labels?: Record<string, string>): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'shop', ...(labels && { labels }) },
  spec: {
    hosts: [`${name}.example`],
    resolution: 'DNS',
    ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
    ...more,
  },
});

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** A follower and an allocator as the control plane joins them. */
async function started(store: ResourceStore, options: Partial<ConstructorParameters<typeof AddressAllocator>[0]> = {}) {
  const mesh = new MeshFollower(store, { quietMs: 1 });
  await mesh.start();
  const allocator = new AddressAllocator({
    store,
    keyOf,
    report: () => {},
    log: () => {},
    onError: () => {},
    retryMs: 1,
    ...options,
  });
  mesh.onChange((_view, change) => allocator.follow(change));
  allocator.start(mesh.current().resources('ServiceEntry'));
  const close = async () => {
    await mesh.stop();
    await allocator.close();
  };
  open.push(close);
  return { mesh, close };
}
const statusOf = async (store: ResourceStore, name: string) =>
  (await store.get(keyOf(entry(name))))?.status as { addresses?: { host: string; value: string }[] } | undefined;
const valuesOf = async (store: ResourceStore, name: string) =>
  ((await statusOf(store, name))?.addresses ?? []).map(({ value }) => value);
const put = (store: ResourceStore, resource: Resource) => store.create(keyOf(resource), resource);

describe('the hosts that are to have automatic addresses', () => {
  const hosts = (resource: Resource) =>
    hostsWithAutoAddresses(resource as Parameters<typeof hostsWithAutoAddresses>[0]);

  it('are all without wildcard', () =>
    expect(hosts(entry('a', { hosts: ['a.example', '*.b.example', 'a.example'] }))).toEqual(['a.example']));
  it.each([
    ['with addresses', entry('a', { addresses: ['10.0.0.1'] })],
    ['of resolution NONE', entry('a', { resolution: 'NONE' })],
    ['of no resolution', entry('a', { resolution: undefined })],
    ['that opts out', entry('a', {}, { 'networking.istio.io/enable-autoallocate-ip': 'false' })],
  ])('are none of an entry %s', (_, resource) => expect(hosts(resource)).toEqual([]));
});

describe('address allocator', () => {
  it('writes one address of each family for each host, and the mesh sees them', async () => {
    const store = memoryStore();
    await put(store, entry('a', { hosts: ['a.example', 'b.example'] }));
    const { mesh } = await started(store);
    await vi.waitFor(async () =>
      expect(await statusOf(store, 'a')).toEqual({
        addresses: [
          { host: 'a.example', value: '240.240.0.1' },
          { host: 'a.example', value: '2001:2::1' },
          { host: 'b.example', value: '240.240.0.2' },
          { host: 'b.example', value: '2001:2::2' },
        ],
      }),
    );
    await vi.waitFor(() =>
      expect(mesh.current().services.map(({ autoAddresses }) => autoAddresses)).toEqual([
        ['240.240.0.1', '2001:2::1'],
        ['240.240.0.2', '2001:2::2'],
      ]),
    );
    expect((await store.get(keyOf(entry('a'))))?.metadata.generation).toBe(1);
  });

  it('writes those of many entries together, so that the mesh changes a few times and not once for each', async () => {
    const store = memoryStore();
    const names = Array.from({ length: 100 }, (_, i) => `e${i}`);
    for (const name of names) await put(store, entry(name));
    let under = 0;
    let rounds = 0;
    const counting: Pick<ResourceStore, 'get' | 'updateStatus'> = {
      get: (key) => store.get(key),
      updateStatus: (key, status, precondition) => {
        if (under++ === 0) rounds++;
        return store.updateStatus(key, status, precondition).finally(() => under--);
      },
    };
    await started(store, { store: counting });
    await vi.waitFor(async () => {
      for (const name of names) expect(await valuesOf(store, name)).toHaveLength(2);
    });
    expect(rounds).toBeLessThanOrEqual(3);
  });

  it('keeps them over restarts and other fields of the status, whatever is written since', async () => {
    const store = memoryStore();
    for (const name of ['a', 'b', 'c']) await put(store, entry(name));
    const { close } = await started(store);
    await vi.waitFor(async () => expect(await valuesOf(store, 'c')).toEqual(['240.240.0.3', '2001:2::3']));
    await close();
    await store.delete(keyOf(entry('b')));
    const condition = { type: 'Reconciled', status: 'True' };
    await store.updateStatus(keyOf(entry('a')), { ...(await statusOf(store, 'a')), conditions: [condition] });
    await started(store);
    await put(store, entry('d'));
    await vi.waitFor(async () => expect(await valuesOf(store, 'd')).toHaveLength(2));
    expect(await valuesOf(store, 'a')).toEqual(['240.240.0.1', '2001:2::1']);
    expect(await statusOf(store, 'a')).toMatchObject({ conditions: [condition] });
    expect(await valuesOf(store, 'c')).toEqual(['240.240.0.3', '2001:2::3']);
    // What the deleted one had is free.
    expect(await valuesOf(store, 'd')).toEqual(['240.240.0.2', '2001:2::2']);
  });

  it('gives each host one address where several control planes write at the same time, which all see the same', async () => {
    const store = memoryStore();
    const planes = [await started(store), await started(store), await started(store)];
    const names = Array.from({ length: 40 }, (_, i) => `e${i}`);
    await Promise.all(names.map((name) => put(store, entry(name))));
    const settled = async () => {
      const all = (await Promise.all(names.map((name) => valuesOf(store, name)))).flat();
      expect(all).toHaveLength(2 * names.length);
      expect(new Set(all).size).toBe(all.length);
      const seen = planes.map(({ mesh }) => mesh.current().services.flatMap(({ autoAddresses = [] }) => autoAddresses));
      for (const addresses of seen) expect([...addresses].sort()).toEqual([...all].sort());
      return all;
    };
    const addresses = await vi.waitFor(settled, { timeout: 30_000 });
    for (const { close } of planes) await close();
    // A control plane that starts later gives the same.
    const { mesh } = await started(store);
    const later = mesh.current().services.flatMap(({ autoAddresses = [] }) => autoAddresses);
    expect([...later].sort()).toEqual([...addresses].sort());
  });

  it('takes addresses back from an entry that has its own, and never gives out one that an entry names', async () => {
    const store = memoryStore();
    await put(store, entry('own', { addresses: ['240.240.0.1'] }));
    await put(store, entry('a'));
    await started(store);
    await vi.waitFor(async () => expect(await valuesOf(store, 'a')).toEqual(['240.240.0.2', '2001:2::1']));
    await store.update(keyOf(entry('a')), entry('a', { addresses: ['10.0.0.9'] }));
    await vi.waitFor(async () => expect(await statusOf(store, 'a')).toBeUndefined());
  });

  it('keeps those of hosts that stay when hosts come and go', async () => {
    const store = memoryStore();
    await put(store, entry('a', { hosts: ['a.example', 'b.example'] }));
    await started(store);
    await vi.waitFor(async () => expect(await valuesOf(store, 'a')).toHaveLength(4));
    await store.update(keyOf(entry('a')), entry('a', { hosts: ['c.example', 'b.example'] }));
    await vi.waitFor(async () =>
      expect((await statusOf(store, 'a'))?.addresses).toEqual([
        { host: 'c.example', value: '240.240.0.3' },
        { host: 'c.example', value: '2001:2::3' },
        { host: 'b.example', value: '240.240.0.2' },
        { host: 'b.example', value: '2001:2::2' },
      ]),
    );
  });

  it('of two entries with one address the older keeps it', async () => {
    const store = memoryStore();
    const addresses = (host: string) => ({
      addresses: [
        { host, value: '240.240.0.1' },
        { host, value: '2001:2::1' },
      ],
    });
    for (const name of ['old', 'young']) {
      await put(store, entry(name));
      await store.updateStatus(keyOf(entry(name)), addresses(`${name}.example`));
    }
    await started(store);
    await vi.waitFor(async () => expect(await valuesOf(store, 'young')).toEqual(['240.240.0.2', '2001:2::2']));
    expect(await valuesOf(store, 'old')).toEqual(['240.240.0.1', '2001:2::1']);
  });

  it('a namespace has so many, others still have theirs; what is missing is reported and given once there is room', async () => {
    const store = memoryStore();
    const reports = new Map<string, readonly string[]>();
    const logged: string[] = [];
    const report = (reporter: string, findings: readonly Finding[]) =>
      void reports.set(
        reporter,
        findings.map(({ message }) => message),
      );
    const other = entry('other');
    const elsewhere = { ...other, metadata: { ...other.metadata, namespace: 'elsewhere' } };
    await put(store, entry('a'));
    await put(store, entry('squatter', { addresses: ['240.240.1.1', '240.240.1.2', '240.240.1.3'] }));
    await put(store, entry('c'));
    await put(store, elsewhere);
    await started(store, { perNamespace: 4, report, log: (line) => void logged.push(line) });
    await vi.waitFor(async () => expect((await store.get(keyOf(elsewhere)))?.status).toBeDefined());
    const held = [...(await valuesOf(store, 'a')), ...(await valuesOf(store, 'c'))];
    expect(held.length).toBeLessThanOrEqual(4);
    const short = [...reports].filter(([, messages]) => messages.length > 0);
    expect(short.map(([, messages]) => messages[0])).toContainEqual(
      expect.stringMatching(
        /^spec\.hosts: no automatic address for [ac]\.example: its namespace has 4, as many as it may$/,
      ),
    );
    expect(logged).toContainEqual(expect.stringMatching(/^ServiceEntry shop\/[ac]: spec\.hosts: no automatic address/));
    await store.delete(keyOf(entry('squatter')));
    await vi.waitFor(async () => {
      expect([await valuesOf(store, 'a'), await valuesOf(store, 'c')].map(({ length }) => length)).toEqual([2, 2]);
      expect([...reports.values()].flat()).toEqual([]);
    });
  });

  it('attempts again after a conflict and after the store failed', async () => {
    const store = memoryStore();
    await put(store, entry('a'));
    const failures = [new StoreError('conflict', 'another write'), new Error('disk full')];
    const failing: Pick<ResourceStore, 'get' | 'updateStatus'> = {
      get: (key) => store.get(key),
      updateStatus: (key, status, precondition) => {
        const failure = failures.shift();
        return failure ? Promise.reject(failure) : store.updateStatus(key, status, precondition);
      },
    };
    const errors: unknown[] = [];
    await started(store, { store: failing, onError: (error) => errors.push(error) });
    await vi.waitFor(async () => expect(await valuesOf(store, 'a')).toHaveLength(2));
    expect(errors.map(String)).toEqual(['Error: disk full']);
  });
});

describe('address range', () => {
  it('gives out each address once, those that became free last, and ends', () => {
    const range = new AddressRange('10.0.0.0/30');
    expect([range.takeNext(), range.takeNext()]).toEqual(['10.0.0.1', '10.0.0.2']);
    range.release('10.0.0.1');
    expect([range.takeNext(), range.takeNext(), range.takeNext()]).toEqual(['10.0.0.3', '10.0.0.1', undefined]);
    expect(range.take('10.0.0.1')).toBe(false);
    expect(range.take('10.0.1.1')).toBe(false);
    expect(range.has('10.0.0.2')).toBe(true);
  });

  it('writes IPv6 addresses short', () => {
    const range = new AddressRange('2001:2::/48');
    for (let i = 0; i < 0x1ff; i++) range.takeNext();
    expect(range.takeNext()).toBe('2001:2::200');
    expect(range.has('2001:2:0::1')).toBe(true);
    expect(range.has('2001:2:0:1::1')).toBe(false);
  });
});
