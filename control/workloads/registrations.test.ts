import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Join } from '../ca/joins.ts';
import { buildView } from '../mesh/build-view.ts';
import { meshForm } from '../mesh/mesh-resource.ts';
import { conditionsOf } from '../mesh/workload/workload-health.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { ADDRESS_CONFLICT, entryKey } from './entry-writer.ts';
import { groupReader } from './read-group.ts';
import { RegistrationError } from './registration-error.ts';
import { type RegisteringProxy, Registrations } from './registrations.ts';

const GROUP: Resource = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  metadata: { name: 'reviews', namespace: 'shop' },
  spec: {
    metadata: { labels: { app: 'reviews' }, annotations: { note: 'x' } },
    probe: { tcpSocket: { port: 9080 } },
    template: {
      serviceAccount: 'sa',
      labels: { app: 'old', version: 'v1' },
      ports: { http: 9080 },
      weight: 7,
      network: 'vms',
      locality: 'eu/a',
    },
  },
};
const groupKey = { group: 'networking.istio.io', plural: 'workloadgroups', namespace: 'shop', name: 'reviews' };
const HAND_WRITTEN: Resource = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name: 'by-hand', namespace: 'shop' },
  spec: { address: '10.0.0.5', labels: { app: 'x' } },
};

let store: ResourceStore;
let joins: Map<string, Join>;
let events: string[];
let written: Resource[];
let registrations: Registrations;
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
  store = memoryStore();
  await store.create(groupKey, GROUP);
  joins = new Map(['a', 'b'].map((serial) => [serial, joinOf(serial)]));
  events = [];
  written = [];
  registrations = await started();
});
afterEach(async () => {
  await registrations.close();
  await store.close();
  vi.useRealTimers();
});

const joinOf = (serial: string, group: string | null = 'reviews') =>
  ({ id: `join-${serial}`, group: group ?? undefined, labels: { rack: 'r1', app: 'evil' } }) as unknown as Join;

let controlPlanes = 0;
/** Ids of control planes that are there besides. */
const others = new Set<string>();

async function started(allowsLoopback = false): Promise<Registrations> {
  const made = new Registrations({
    store,
    group: groupReader(store),
    view: () => buildView(written.map(meshForm), 1),
    joinOf: (serial) => joins.get(serial),
    cleanupMs: 10_000,
    allowsLoopback,
    replicas: { id: String(++controlPlanes), isThere: (id) => others.has(id) },
    events: { registration: ({ what, entry, reason }) => void events.push(`${what} ${entry} ${reason ?? ''}`.trim()) },
    report: (error) => {
      throw error;
    },
  });
  await made.start();
  return made;
}

let sessions = 0;
/** A session of the machine with the certificate `serial`. */
function proxy(serial: string | undefined, address: string, more: Record<string, unknown> = {}) {
  const metadata = { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'sa', AUTO_REGISTER_GROUP: 'reviews', LABELS: {}, ...more };
  const made = {
    id: `session-${++sessions}`,
    node: { id: `sidecar~${address}~reviews.shop~shop.svc.cluster.local`, metadata },
    get nodeDigest() {
      return JSON.stringify(made.node);
    },
    serial,
    connected: true,
    isConnected: () => made.connected,
  };
  return made satisfies RegisteringProxy;
}
const entry = (name: string) => store.get(entryKey('shop', name));
const names = async () =>
  (await store.list({ kind: { group: 'networking.istio.io', plural: 'workloadentries' } })).items.map(
    ({ metadata }) => metadata.name,
  );
/** Lets the time pass, and what it causes be written. */
async function after(ms: number) {
  vi.advanceTimersByTime(ms);
  for (let i = 0; i < 20; i++) await new Promise((next) => setImmediate(next));
}

it('makes the entry that istiod makes, and keeps the labels of the group', async () => {
  const labels = { app: 'payments', zone: 'z', 'security.istio.io/tlsMode': 'disabled' };
  await registrations.seen(proxy('a', '10.0.0.5', { NETWORK: 'dc-1', LABELS: labels }));
  const made = (await entry('reviews-10.0.0.5-dc-1'))!;
  expect(made.spec).toEqual({
    address: '10.0.0.5',
    labels: { app: 'reviews', version: 'v1', rack: 'r1' },
    serviceAccount: 'sa',
    ports: { http: 9080 },
    network: 'dc-1',
    locality: 'eu/a',
    weight: 7,
  });
  const { uid } = (await store.get(groupKey))!.metadata;
  expect(made.metadata).toMatchObject({
    labels: { app: 'reviews', version: 'v1', rack: 'r1' },
    annotations: {
      note: 'x',
      'istio.io/autoRegistrationGroup': 'reviews',
      'istio.io/workloadController': expect.stringMatching(/^tulle-/),
      'istio.io/connectedAt': expect.stringMatching(/^\d{4}-/),
      'proxy.istio.io/health-checks-enabled': 'true',
      'tulle.dev/join': 'join-a',
    },
    ownerReferences: [{ kind: 'WorkloadGroup', name: 'reviews', uid, controller: true }],
  });
  expect(events).toEqual([
    expect.stringContaining('label shop/reviews-10.0.0.5-dc-1 label "app"'),
    expect.stringContaining('label "zone" of the machine is not taken: it is neither of the WorkloadGroup nor of'),
    expect.stringContaining('label "security.istio.io/tlsMode" of the machine is not taken'),
    'created shop/reviews-10.0.0.5-dc-1',
  ]);
});

it('names entries of IPv6 addresses without colons', async () => {
  await registrations.seen(proxy('a', '2001:db8::5'));
  expect(await names()).toEqual(['reviews-2001-db8--5']);
});

it('keeps the entry of a machine that comes back in time, and removes it otherwise', async () => {
  const first = proxy('a', '10.0.0.5');
  await registrations.seen(first);
  expect(registrations.seen(first)).toBeUndefined();
  const { uid } = (await entry('reviews-10.0.0.5'))!.metadata;
  first.connected = false;
  await after(1000);
  const left = (await entry('reviews-10.0.0.5'))!.metadata.annotations!;
  expect(left['istio.io/disconnectedAt']).toMatch(/^\d{4}-/);
  expect(left['istio.io/connectedAt']).toBeUndefined();
  const second = proxy('a', '10.0.0.5');
  await registrations.seen(second);
  await after(60_000);
  const back = (await entry('reviews-10.0.0.5'))!.metadata;
  expect(back.uid).toBe(uid);
  expect(back.annotations!['istio.io/disconnectedAt']).toBeUndefined();
  second.connected = false;
  await after(1000);
  await after(8000);
  expect(await names()).toEqual(['reviews-10.0.0.5']);
  await after(2000);
  expect(await names()).toEqual([]);
});

it('registers a proxy again that continues its session after its entry was removed', async () => {
  const asleep = proxy('a', '10.0.0.5');
  await registrations.seen(asleep);
  asleep.connected = false;
  await after(1000);
  await after(11_000);
  expect(await names()).toEqual([]);
  asleep.connected = true;
  await registrations.seen(asleep);
  expect(await names()).toEqual(['reviews-10.0.0.5']);
});

it('a reconnection writes nothing that the mesh sees', async () => {
  const first = proxy('a', '10.0.0.5');
  await registrations.seen(first);
  const before = meshForm((await entry('reviews-10.0.0.5'))!);
  first.connected = false;
  await after(1000);
  await registrations.seen(proxy('a', '10.0.0.5'));
  const now = meshForm((await entry('reviews-10.0.0.5'))!);
  expect({ ...now, metadata: { ...now.metadata, resourceVersion: '' } }).toEqual({
    ...before,
    metadata: { ...before.metadata, resourceVersion: '' },
  });
});

it('survives a restart: machines that come back keep their entries, the others lose them', async () => {
  await registrations.seen(proxy('a', '10.0.0.5'));
  await registrations.seen(proxy('b', '10.0.0.6'));
  const { uid } = (await entry('reviews-10.0.0.5'))!.metadata;
  await registrations.close();
  registrations = await started();
  await after(20_000);
  expect(await names()).toEqual(['reviews-10.0.0.5', 'reviews-10.0.0.6']);
  await registrations.seen(proxy('a', '10.0.0.5'));
  await after(60_000);
  expect(await names()).toEqual(['reviews-10.0.0.5']);
  expect((await entry('reviews-10.0.0.5'))!.metadata.uid).toBe(uid);
});

it('moves the entry of a machine whose address has changed, also over a restart', async () => {
  const old = proxy('a', '10.0.0.5');
  await registrations.seen(old);
  await registrations.seen(proxy('a', '10.0.0.7'));
  expect(await names()).toEqual(['reviews-10.0.0.7']);
  expect(registrations.seen(old)).toBeUndefined();
  expect(registrations.noteOn(old.id)).toMatch(/10\.0\.0\.7 now/);
  await registrations.close();
  registrations = await started();
  await registrations.seen(proxy('a', '10.0.0.8'));
  expect(await names()).toEqual(['reviews-10.0.0.8']);
});

it('refuses a second machine with an address while the first is connected, and says so at the first', async () => {
  const first = proxy('a', '10.0.0.5');
  await registrations.seen(first);
  await expect(registrations.seen(proxy('b', '10.0.0.5'))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining(
      'another machine of WorkloadEntry shop/reviews-10.0.0.5 is connected with address 10.0.0.5',
    ),
  });
  await after(0);
  expect(registrations.noteOn(first.id)).toMatch(/of another machine claims its address 10\.0\.0\.5/);
  expect(conditionsOf((await entry('reviews-10.0.0.5'))!)).toMatchObject([{ type: ADDRESS_CONFLICT, status: 'True' }]);
  expect((await entry('reviews-10.0.0.5'))!.metadata.annotations!['tulle.dev/join']).toBe('join-a');
  await after(31_000);
  expect(conditionsOf((await entry('reviews-10.0.0.5'))!)).toEqual([]);
  expect(registrations.noteOn(first.id)).toBeUndefined();
  first.connected = false;
  await registrations.seen(proxy('b', '10.0.0.5'));
  expect((await entry('reviews-10.0.0.5'))!.metadata.annotations!['tulle.dev/join']).toBe('join-b');
});

it.each([
  ['another service account', 'a', { SERVICE_ACCOUNT: 'other' }, 'not-allowed', /service account "sa", not "other"/],
  ['another group than it joined for', 'x', {}, 'not-allowed', /joined for WorkloadGroup "ratings"/],
  [
    'a group that does not exist',
    'y',
    { AUTO_REGISTER_GROUP: 'none' },
    'conflict',
    /"none" of namespace "shop" does not exist/,
  ],
  [
    'a join without a group',
    'z',
    {},
    'not-allowed',
    /joined without a WorkloadGroup: .*tulle invite --group reviews -n shop/,
  ],
  ['no certificate', undefined, {}, 'not-allowed', /certificate/],
])('refuses %s', async (_, serial, more, code, message) => {
  joins.set('x', joinOf('x', 'ratings'));
  joins.set('y', joinOf('y', 'none'));
  joins.set('z', joinOf('z', null));
  await expect(registrations.seen(proxy(serial, '10.0.0.5', more))).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
  expect(await names()).toEqual([]);
});

it.each([
  ...['0.0.0.0', '0:0:0:0:0:0:0:0', '::ffff:0.0.0.0', '239.1.1.1', 'ff02::1', '169.254.169.254', 'fe80::1'],
  ...['unix:///run/app.sock', 'other.example', '10.0.0.5/8'],
])('refuses the address %s', async (ip) => {
  await expect(registrations.seen(proxy('a', '10.0.0.5', { INSTANCE_IPS: ip }))).rejects.toMatchObject({
    code: 'not-allowed',
    message: expect.stringContaining(`${ip} is not an address`),
  });
  expect(await names()).toEqual([]);
});

it.each([`${'-'.repeat(300)}payments-10.0.0.9`, 'a/b', 'a b', 'x'.repeat(64)])(
  'refuses the network %s, which would name the entry',
  async (NETWORK) => {
    await expect(registrations.seen(proxy('a', '10.0.0.5', { NETWORK }))).rejects.toMatchObject({
      code: 'not-allowed',
      message: expect.stringContaining('its network is no name'),
    });
    expect(await names()).toEqual([]);
  },
);

it.each(['2001:DB8::5', '2001:db8:0::5', '2001:0db8::5', '::ffff:10.0.0.5', '::FFFF:a00:5'])(
  'refuses %s, a second spelling of an address',
  async (ip) => {
    await expect(registrations.seen(proxy('a', '10.0.0.5', { INSTANCE_IPS: ip }))).rejects.toMatchObject({
      code: 'not-allowed',
      message: expect.stringMatching(/must be written (2001:db8::5|10\.0\.0\.5)$/),
    });
  },
);

it.each(['127.0.10.1', '::1', '::ffff:127.0.0.1'])('refuses %s unless all is on one host', async (ip) => {
  await expect(registrations.seen(proxy('a', ip))).rejects.toMatchObject({
    message: expect.stringContaining('loopback address'),
  });
});

it('takes loopback addresses where all is on one host', async () => {
  await registrations.close();
  registrations = await started(true);
  await registrations.seen(proxy('a', '127.0.10.1'));
  expect(await names()).toEqual(['reviews-127.0.10.1']);
});

describe('a node that changes at a later poll', () => {
  const change = (of: ReturnType<typeof proxy>, more: Record<string, unknown>) => {
    of.node = { ...of.node, metadata: { ...of.node.metadata, ...more } };
  };

  it.each(['a', 'unknown'])('moves its entry with its address (certificate %s)', async (serial) => {
    const one = proxy(serial, '10.0.0.5');
    await registrations.seen(one);
    change(one, { INSTANCE_IPS: '10.0.0.6' });
    await registrations.seen(one);
    expect(await names()).toEqual(['reviews-10.0.0.6']);
    expect(registrations.noteOn(one.id)).toBeUndefined();
    expect(registrations.seen(one)).toBeUndefined();
  });

  it('is refused what a new session is refused, as often as it polls, and loses its entry', async () => {
    const one = proxy('a', '10.0.0.5');
    await registrations.seen(one);
    await registrations.seen(proxy('b', '10.0.0.6'));
    for (const more of [{ INSTANCE_IPS: '10.0.0.6' }, { INSTANCE_IPS: '0.0.0.0' }, { AUTO_REGISTER_GROUP: 'other' }]) {
      change(one, { INSTANCE_IPS: '10.0.0.5', ...more });
      for (let poll = 0; poll < 2; poll++)
        await expect(registrations.seen(one)).rejects.toBeInstanceOf(RegistrationError);
    }
    await after(1000);
    await after(11_000);
    expect(await names()).toEqual(['reviews-10.0.0.6']);
    change(one, { INSTANCE_IPS: '10.0.0.5', AUTO_REGISTER_GROUP: 'reviews' });
    await registrations.seen(one);
    expect(await names()).toEqual(['reviews-10.0.0.5', 'reviews-10.0.0.6']);
  });

  it('has the labels and the entry that it asks for now', async () => {
    const one = proxy('a', '10.0.0.5');
    await registrations.seen(one);
    change(one, { LABELS: { 'service.istio.io/canonical-name': 'n' } });
    await registrations.seen(one);
    expect((await entry('reviews-10.0.0.5'))!.spec).toMatchObject({
      labels: { 'service.istio.io/canonical-name': 'n' },
    });
    change(one, { AUTO_REGISTER_GROUP: undefined });
    await registrations.seen(one);
    expect(await names()).toEqual([]);
    expect(registrations.seen(one)).toBeUndefined();
  });
});

it('takes no labels of a machine that neither its group nor its invitation gives, besides names for telemetry', async () => {
  await registrations.seen(
    proxy('a', '10.0.0.5', { LABELS: { 'a b': 'c', tier: 'x', 'service.istio.io/canonical-name': 'n' } }),
  );
  const { labels } = (await entry('reviews-10.0.0.5'))!.spec as { labels: object };
  expect(labels).toEqual({ app: 'reviews', version: 'v1', rack: 'r1', 'service.istio.io/canonical-name': 'n' });
});

it('leaves hand-written entries of the same name or address as they are', async () => {
  const named = {
    ...HAND_WRITTEN,
    metadata: { name: 'reviews-10.0.0.6', namespace: 'shop' },
    spec: { address: '10.9.9.9' },
  };
  await store.create(entryKey('shop', 'reviews-10.0.0.6'), named);
  await store.create(entryKey('shop', 'by-hand'), HAND_WRITTEN);
  written = [HAND_WRITTEN, named];
  const [sameAddress, sameName] = [proxy('a', '10.0.0.5'), proxy('b', '10.0.0.6')];
  await registrations.seen(sameAddress);
  await registrations.seen(sameName);
  expect(await names()).toEqual(['by-hand', 'reviews-10.0.0.6']);
  expect((await entry('reviews-10.0.0.6'))!.spec).toEqual({ address: '10.9.9.9' });
  for (const { id } of [sameAddress, sameName]) expect(registrations.noteOn(id)).toMatch(/is used as it is/);
  written = [named];
  await store.delete(entryKey('shop', 'by-hand'));
  registrations.follow({ written: [], deleted: [HAND_WRITTEN] });
  await after(0);
  expect(await names()).toEqual(['reviews-10.0.0.5', 'reviews-10.0.0.6']);
});

it('follows its group: changes of the template, deletion, and return', async () => {
  await registrations.seen(proxy('a', '10.0.0.5'));
  const changed = { ...GROUP, spec: { template: { serviceAccount: 'sa', labels: { app: 'reviews', version: 'v2' } } } };
  await store.update(groupKey, changed);
  registrations.follow({ written: [changed], deleted: [] });
  await after(0);
  expect((await entry('reviews-10.0.0.5'))!.spec).toMatchObject({ labels: { version: 'v2', rack: 'r1' } });
  await store.delete(groupKey);
  registrations.follow({ written: [], deleted: [changed] });
  await after(0);
  expect(await names()).toEqual([]);
  await store.create(groupKey, GROUP);
  registrations.follow({ written: [GROUP], deleted: [] });
  await after(0);
  expect(await names()).toEqual(['reviews-10.0.0.5']);
});

it('removes the entry at once when the proxy stops, unless another process of the machine continues', async () => {
  const [old, next] = [proxy('a', '10.0.0.5'), proxy('a', '10.0.0.5')];
  await registrations.seen(old);
  await registrations.seen(next);
  expect(await registrations.leave(old.node, 'a')).toBe(false);
  old.connected = false;
  expect(await registrations.leave(next.node, 'b')).toBe(false);
  expect(await registrations.leave(next.node, 'a')).toBe(true);
  expect(await names()).toEqual([]);
  expect(registrations.seen(next)).toBeUndefined();
  await registrations.seen(proxy('a', '10.0.0.5'));
  expect(await names()).toEqual(['reviews-10.0.0.5']);
});

it('does not make an entry again that was deleted, until the proxy connects again', async () => {
  const first = proxy('a', '10.0.0.5');
  await registrations.seen(first);
  const deleted = await store.delete(entryKey('shop', 'reviews-10.0.0.5'));
  registrations.follow({ written: [], deleted: [deleted] });
  expect(registrations.seen(first)).toBeUndefined();
  await after(1000);
  expect(await names()).toEqual([]);
  await registrations.seen(proxy('a', '10.0.0.5'));
  expect(await names()).toEqual(['reviews-10.0.0.5']);
});

it('keeps the entry of a machine that has moved to another control plane, and has that one remove it', async () => {
  const here = proxy('a', '10.0.0.5');
  await registrations.seen(here);
  const other = await another();
  try {
    const there = proxy('a', '10.0.0.5');
    await other.seen(there);
    here.connected = false;
    await after(1000);
    await after(30_000);
    const { annotations } = (await entry('reviews-10.0.0.5'))!.metadata;
    expect(annotations).toMatchObject({ 'istio.io/connectedAt': expect.any(String) });
    expect(annotations!['istio.io/disconnectedAt']).toBeUndefined();
    there.connected = false;
    await after(1000);
    await after(11_000);
    expect(await names()).toEqual([]);
  } finally {
    await other.close();
  }
});

it('refuses an address whose machine is connected to another control plane, and takes over when that one is not there', async () => {
  const other = await another();
  await other.seen(proxy('b', '10.0.0.5'));
  await expect(registrations.seen(proxy('a', '10.0.0.5'))).rejects.toThrow('another machine');
  await other.close();
  // It was killed: the machine does not come back.
  others.delete(String(controlPlanes));
  await registrations.takeOver();
  await after(59_000);
  expect(await names()).toEqual(['reviews-10.0.0.5']);
  await after(2000);
  expect(await names()).toEqual([]);
});

/** A second control plane of the store. */
async function another(): Promise<Registrations> {
  others.add(String(controlPlanes));
  others.add(String(controlPlanes + 1));
  return started();
}
