import { afterEach, describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { compileInSlices } from '../compile/node/node.ts';
import { inOneGo } from '../compile/output/compiled-node.ts';
import { MeshFollower } from '../mesh/follow-store.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import { findRollout, pause, promote, undo } from './decisions.ts';
import { protectingStore } from './protecting-store.ts';
import { RolloutRecords } from './records.ts';
import { Refusals } from './refusals.ts';
import { MAX_LIVE, type Rollout, Rollouts } from './rollouts.ts';

const PLURALS: Record<string, [string, string]> = {
  VirtualService: ['networking.istio.io', 'virtualservices'],
  AuthorizationPolicy: ['security.istio.io', 'authorizationpolicies'],
  ServiceEntry: ['networking.istio.io', 'serviceentries'],
  RolloutPolicy: ['tulle.dev', 'rolloutpolicies'],
};
const keyOf = ({ kind, metadata: { name, namespace = 'shop' } }: Resource): ResourceKey => {
  const [group, plural] = PLURALS[kind]!;
  return { group, plural, namespace, name };
};
const service = (name: string, timeout: string, labels = {}): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'shop', labels },
  spec: { hosts: [`${name}.example`], http: [{ timeout, route: [{ destination: { host: `${name}.example` } }] }] },
});
const entry = (name: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'shop' },
  spec: {
    hosts: [`${name}.example`],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    endpoints: [{ address: '10.9.0.1' }],
  },
});
const policy = (spec: object = {}, namespace = 'shop'): Resource => ({
  apiVersion: 'tulle.dev/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'careful', namespace },
  spec: { steps: [10, 50, 100].map((percent) => ({ percent, duration: '60s' })), ...spec },
});
const node = (i: number, labels: Record<string, string> = {}) => ({
  id: `sidecar~10.0.0.${i}~app-${i}.shop~shop.svc.cluster.local`,
  metadata: { NAMESPACE: 'shop', LABELS: labels, INTERCEPTION_MODE: 'NONE' },
  clientFeatures: ['tulle.virtual-hosts'],
});
const NODES = [...Array(20).keys()].map((i) => node(i + 1, { tier: i < 2 ? 'canary' : 'main' }));

const open: MeshFollower[] = [];
afterEach(async () => {
  for (const mesh of open.splice(0)) await mesh.stop();
});

/** A control plane's part of it, on a store that may outlive it. */
async function start(store: ResourceStore = memoryStore(), nodes = NODES, settleMs = 0) {
  const records = new RolloutRecords(store);
  const time = { now: 1_000_000 };
  const ended: string[] = [];
  const behind = new Set<string>();
  const rollouts = new Rollouts({
    records,
    recorded: await records.load(),
    log: () => {},
    now: () => time.now,
    settleMs,
    onMoved: (rollout, isOver) => isOver && void ended.push(`${rollout.name}: ${rollout.reason}`),
  });
  const mesh = new MeshFollower(store, { quietMs: 1, gate: rollouts });
  open.push(mesh);
  await mesh.start();
  rollouts.attach({
    mesh,
    labelsOf: (_view, { metadata }) => (metadata?.['LABELS'] ?? {}) as Record<string, string>,
    proxies: () =>
      nodes.map((each) => ({
        ...{ id: each.id, node: each, namespace: 'shop', labels: each.metadata.LABELS },
        isUpToDate: !behind.has(each.id),
        uses: () => true,
      })),
  });
  const guarded = protectingStore(store, rollouts);
  const write = async (resource: Resource) => {
    const key = keyOf(resource);
    if (await guarded.get(key)) await guarded.update(key, resource);
    else await guarded.create(key, resource);
    await seen(resource);
  };
  /** Until the mesh has taken all that was written. */
  const seen = async (_resource?: unknown) => {
    for (let i = 0; i < 5; i++) await new Promise((done) => setTimeout(done, 3));
  };
  const remove = async (resource: Resource) => {
    await guarded.delete(keyOf(resource));
    await seen();
  };
  /** The timeout that each node's view has of the VirtualService; '-': none. */
  const timeouts = (name = 'web', of: readonly (typeof NODES)[number][] = nodes) =>
    of.map((each) => {
      const view = rollouts.viewFor(each) ?? mesh.current();
      const found = view.resources('VirtualService').find(({ metadata }) => metadata.name === name);
      return String(found?.spec?.http?.[0]?.timeout ?? '-');
    });
  const count = (timeout: string, name = 'web') => timeouts(name).filter((each) => each === timeout).length;
  const pass = async (seconds: number) => {
    rollouts.tick();
    time.now += seconds * 1000;
    rollouts.tick();
    await seen();
  };
  const rollout = (name = 'web'): Rollout => findRollout(rollouts, 'VirtualService', 'shop', name);
  return { store, rollouts, mesh, records, time, behind, ended, write, remove, seen, timeouts, count, pass, rollout };
}

async function startedWith(timeout: string, spec: object = {}) {
  const control = await start();
  await control.write(service('web', timeout));
  await control.write(policy(spec));
  return control;
}

describe('a change that a RolloutPolicy governs', () => {
  it('comes to its cohorts step by step, then to every proxy, and each keeps it', async () => {
    const { write, count, timeouts, pass, rollouts, ended, mesh } = await startedWith('1s');
    await write(service('web', '2s'));
    expect([count('2s'), count('1s')]).toEqual([2, 18]);
    const first = timeouts();
    await pass(59);
    expect(timeouts()).toEqual(first);
    await pass(60);
    expect(count('2s')).toBe(10);
    expect(timeouts().every((each, i) => first[i] !== '2s' || each === '2s')).toBe(true);
    await pass(60);
    expect(count('2s')).toBe(20);
    expect(rollouts.all()).toHaveLength(1);
    await pass(60);
    expect(rollouts.all()).toEqual([]);
    expect(count('2s')).toBe(20);
    expect(mesh.current().resources('VirtualService')[0]?.spec?.http?.[0]?.timeout).toBe('2s');
    expect(ended).toEqual(['web: in force for every proxy']);
  });

  it('waits at its step for proxies that have not acknowledged it', async () => {
    const { write, count, pass, behind, timeouts } = await startedWith('1s');
    await write(service('web', '2s'));
    const slow = NODES[timeouts().indexOf('2s')]!.id;
    behind.add(slow);
    await pass(600);
    expect(count('2s')).toBe(2);
    behind.clear();
    await pass(60);
    expect(count('2s')).toBe(10);
  });

  it('comes to proxies with the labels of a step first', async () => {
    const steps = [
      { proxies: { matchLabels: { tier: 'canary' } }, duration: '60s' },
      { percent: 100, duration: '60s' },
    ];
    const { write, timeouts, pass, count } = await startedWith('1s', { steps });
    await write(service('web', '2s'));
    expect(timeouts()).toEqual(NODES.map(({ metadata }) => (metadata.LABELS['tier'] === 'canary' ? '2s' : '1s')));
    await pass(60);
    expect(count('2s')).toBe(20);
  });

  it('may be a creation or a deletion', async () => {
    const { write, remove, count, pass, rollouts } = await startedWith('1s');
    await write(service('new', '5s'));
    expect([count('5s', 'new'), count('-', 'new')]).toEqual([2, 18]);
    for (let i = 0; i < 3; i++) await pass(60);
    expect(count('5s', 'new')).toBe(20);
    await remove(service('new', '5s'));
    expect([count('5s', 'new'), count('-', 'new')]).toEqual([18, 2]);
    undo(rollouts, findRollout(rollouts, 'VirtualService', 'shop', 'new'), 'admin');
    expect(count('5s', 'new')).toBe(20);
    promote(rollouts, findRollout(rollouts, 'VirtualService', 'shop', 'new'), 'admin', true);
    await pass(1);
    expect(count('-', 'new')).toBe(20);
  });

  it('begins again with another revision, and what is stable stays', async () => {
    const { write, count, pass, rollout } = await startedWith('1s');
    await write(service('web', '2s'));
    await pass(60);
    expect(count('2s')).toBe(10);
    await write(service('web', '3s'));
    expect([count('1s'), count('2s'), count('3s')]).toEqual([18, 0, 2]);
    expect(rollout()).toMatchObject({ step: 0, reason: 'another revision was written' });
  });

  it('ends where the revision before is written again', async () => {
    const { write, count, rollouts } = await startedWith('1s');
    await write(service('web', '2s'));
    await write(service('web', '1s'));
    expect([count('1s'), rollouts.all()]).toEqual([20, []]);
  });

  it('is not begun again by a write that changes nothing of it', async () => {
    const { write, pass, rollout } = await startedWith('1s');
    await write(service('web', '2s'));
    await pass(60);
    const again = service('web', '2s');
    again.metadata.annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
    await write(again);
    expect(rollout().step).toBe(1);
  });

  it('keeps its steps where the policy changes or goes, and later changes follow the policy', async () => {
    const { write, remove, count, pass, rollouts } = await startedWith('1s');
    await write(service('web', '2s'));
    await remove(policy());
    await pass(60);
    expect(count('2s')).toBe(10);
    undo(rollouts, findRollout(rollouts, 'VirtualService', 'shop', 'web'), 'admin');
    expect(count('1s')).toBe(20);
    await write(service('web', '3s'));
    expect([count('3s'), rollouts.all()]).toEqual([20, []]);
  });

  it(`waits while ${MAX_LIVE} others are in progress`, async () => {
    const { write, count, pass, rollouts } = await startedWith('1s');
    for (const name of ['a', 'b', 'c', 'd']) await write(service(name, '1s'));
    const phases = () => Object.fromEntries(rollouts.all().map(({ name, phase }) => [name, phase]));
    expect(phases()).toEqual({ a: 'Progressing', b: 'Progressing', c: 'Progressing', d: 'Queued' });
    expect(count('-', 'd')).toBe(20);
    for (let i = 0; i < 3; i++) await pass(60);
    expect(phases()).toEqual({ d: 'Progressing' });
    expect(count('1s', 'd')).toBe(2);
  });

  it('is paused, promoted and undone by hand', async () => {
    const { write, count, pass, rollouts, rollout, seen } = await startedWith('1s');
    await write(service('web', '2s'));
    pause(rollouts, rollout(), 'ann');
    await pass(600);
    expect([count('2s'), rollout().reason]).toEqual([2, 'paused by ann']);
    promote(rollouts, rollout(), 'ann', false);
    expect([count('2s'), rollout().phase]).toEqual([10, 'Progressing']);
    undo(rollouts, rollout(), 'ann');
    await pass(600);
    expect([count('2s'), rollout().phase, rollout().reason]).toEqual([0, 'Reverted', 'undone by ann']);
    expect(() => undo(rollouts, rollout(), 'ann')).toThrow('it is reverted');
    promote(rollouts, rollout(), 'ann', false);
    expect([count('2s'), rollout().step]).toEqual([2, 0]);
    promote(rollouts, rollout(), 'ann', true);
    await seen();
    expect([count('2s'), rollouts.all()]).toEqual([20, []]);
    expect(() => rollout()).toThrow('no change of VirtualService shop/web is being rolled out');
  });
});

describe('what takes no part', () => {
  const deny = (name: string): Resource => ({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { action: 'DENY', rules: [{}] },
  });

  it('security policies are in force at once unless the policy names their kind', async () => {
    const { write, rollouts, mesh } = await startedWith('1s');
    await write(deny('all'));
    expect([rollouts.all(), mesh.current().resources('AuthorizationPolicy').length]).toEqual([[], 1]);
    await write(policy({ kinds: ['AuthorizationPolicy'] }));
    await write(deny('more'));
    expect(rollouts.all().map(({ name }) => name)).toEqual(['more']);
    expect(mesh.current().resources('AuthorizationPolicy')).toHaveLength(1);
  });

  it('resources of other labels and of other namespaces', async () => {
    const { write, rollouts, count } = await startedWith('1s', { selector: { matchLabels: { team: 'web' } } });
    await write(service('web', '2s'));
    expect([count('2s'), rollouts.all()]).toEqual([20, []]);
    const foreign = service('far', '1s', { team: 'web' });
    foreign.metadata.namespace = 'other';
    await write(foreign);
    expect(rollouts.all()).toEqual([]);
    await write(service('web', '3s', { team: 'web' }));
    expect(rollouts.all()).toHaveLength(1);
  });

  it('of the root namespace a policy reaches all namespaces, or those that it names', async () => {
    const { write, rollouts } = await start();
    await write(policy({ namespaces: ['other'] }, 'istio-system'));
    await write(service('web', '1s'));
    expect(rollouts.all()).toEqual([]);
    await write(policy({}, 'istio-system'));
    await write(service('web', '2s'));
    expect(rollouts.all()).toHaveLength(1);
  });
});

describe('after a restart', () => {
  it('the stable revision stays effective, and the rollout continues with the same proxies', async () => {
    const before = await startedWith('1s');
    await before.write(service('web', '2s'));
    await before.pass(60);
    const had = before.timeouts();
    await before.rollouts.close();
    const after = await start(before.store);
    expect(after.timeouts()).toEqual(had);
    await after.pass(60);
    expect(after.count('2s')).toBe(20);
    await after.pass(60);
    expect(after.rollouts.all()).toEqual([]);
    await after.records.close();
    expect(await new RolloutRecords(before.store).load()).toEqual(new Map());
  });

  it('nothing is chosen before the proxies have come back', async () => {
    const before = await startedWith('1s');
    await before.write(service('web', '2s'));
    await before.rollouts.close();
    const after = await start(before.store, NODES, 20_000);
    await after.write(service('b', '1s'));
    expect(after.rollout('b').reason).toContain('connect again');
    await after.pass(19);
    expect([after.count('2s'), after.count('1s', 'b')]).toEqual([2, 0]);
    await after.pass(1);
    expect(after.count('1s', 'b')).toBe(2);
  });

  it('a write that was stored, and not seen before the end of the process, is rolled out all the same', async () => {
    const before = await startedWith('1s');
    const { store, rollouts } = before;
    await before.mesh.stop();
    const key = keyOf(service('web', '1s'));
    await protectingStore(store, rollouts).update(key, service('web', '2s'));
    const after = await start(store);
    expect([after.count('1s'), after.count('2s')]).toEqual([18, 2]);
  });

  it('a write that failed leaves nothing behind', async () => {
    const { store, rollouts, records } = await startedWith('1s');
    const stale = service('web', '2s');
    stale.metadata.resourceVersion = '1';
    await expect(protectingStore(store, rollouts).update(keyOf(stale), stale)).rejects.toMatchObject({
      code: 'conflict',
    });
    await records.close();
    expect(await new RolloutRecords(store).load()).toEqual(new Map());
  });

  it('a reverted change stays reverted', async () => {
    const before = await startedWith('1s');
    await before.write(service('web', '2s'));
    before.rollouts.revert(before.rollout(), 'harm');
    await before.rollouts.close();
    const after = await start(before.store);
    expect([after.count('1s'), after.rollout().phase, after.rollout().reason]).toEqual([20, 'Reverted', 'harm']);
  });
});

describe('refusals', () => {
  it('revert the rollout that they are due to, and no other', async () => {
    const { write, rollouts, count } = await startedWith('1s');
    await write(entry('web'));
    await write(entry('other'));
    await write(policy({ steps: [{ percent: 100, duration: '60s' }] }));
    await write(service('web', '2s'));
    await write(service('other', '2s'));
    const refusals = new Refusals(rollouts, compileInSlices);
    const member = NODES.find((each) => rollouts.of(each).length > 0)!;
    const compiled = inOneGo(compileInSlices(rollouts.viewFor(member)!, member));
    refusals.refused(member, compiled, [
      {
        type: 'clusters',
        name: 'BlackHoleCluster',
        version: compiled.sets.clusters.get('BlackHoleCluster')!.version,
        message: 'x',
      },
    ]);
    expect(rollouts.all().map(({ phase }) => phase)).toEqual(['Progressing', 'Progressing']);
    expect(count('2s')).toBe(20);
    const [name, resource] = [...compiled.sets.virtualHosts.all]
      .flatMap((layer) => [...layer])
      .find(([each]) => each.includes('/other.example:'))!;
    const refusal = { type: 'virtualHosts', name, version: resource.version, message: 'no' } as const;
    refusals.refused(member, compiled, [refusal]);
    expect(rollouts.all().map(({ name: of, phase, reason }) => [of, phase, reason])).toEqual([
      ['web', 'Progressing', ''],
      ['other', 'Reverted', `proxy ${member.id} refused virtualHosts ${name}: no`],
    ]);
  });
});
