import { describe, expect, it } from 'vitest';
import type { Endpoint, RetryHostRules } from '../cluster.ts';
import { DrawingBalancer, HashingBalancer, maglevMaker, retryLoads, ringMaker } from './balancer.ts';
import { chooser } from './load-balancers.ts';
import { buildLevels, type LocalityGroup } from './priority-set.ts';
import { warmingWeight } from './slow-start.ts';
import { xxHash64 } from './xx-hash.ts';

function host(n: number, over: Partial<Endpoint> = {}): Endpoint {
  const address = `10.0.0.${n}`;
  return {
    id: `${address}:80`,
    address,
    port: 80,
    hostname: '',
    weight: 1,
    priority: 0,
    locality: '',
    tls: () => undefined,
    metadata: undefined,
    active: 0,
    ...over,
  };
}

const hosts = (count: number, over: Partial<Endpoint> = {}) =>
  Array.from({ length: count }, (_, i) => host(i + 1, over));
const options = { overprovisioning: 140, panicThreshold: 50, weighLocalities: false };
const once: RetryHostRules = { avoidPrevious: true, maxAttempts: 5, priorityUpdateFrequency: 0 };

function random(): () => number {
  let seed = 11;
  return () => (seed = (seed * 16807) % 2147483647) / 2147483647;
}

function levelsOf(groups: readonly LocalityGroup[], sick: readonly number[] = [], more: object = {}) {
  const down = new Set(sick.map((n) => `10.0.0.${n}:80`));
  return buildLevels(groups, (one) => (down.has(one.id) ? 'unhealthy' : 'healthy'), { ...options, ...more });
}

const flat = (list: readonly Endpoint[]) => [{ priority: 0, weight: 0, hosts: list }];
const keyOf = (one: Endpoint) => one.id;

describe.each([
  ['ring', () => ringMaker(keyOf, 1024, 8_388_608)],
  ['maglev', () => maglevMaker(keyOf, 65537)],
])('%s', (_, maker) => {
  const keys = Array.from({ length: 3000 }, (__, i) => xxHash64(`key-${i}`));
  const map = (groups: readonly LocalityGroup[], sick: readonly number[] = [], more: object = {}) => {
    const balancer = new HashingBalancer(maker(), random());
    balancer.update(levelsOf(groups, sick, more));
    return keys.map((key) => balancer.pick(key, undefined, once)!.id);
  };
  const share = (chosen: readonly string[], n: number) => chosen.filter((id) => id === `10.0.0.${n}:80`).length / 3000;

  it('spreads the keys evenly', () => {
    const chosen = map(flat(hosts(5)));
    for (let n = 1; n <= 5; n++) expect(share(chosen, n)).toBeGreaterThan(0.12);
  });

  it('spreads by weight', () => {
    const chosen = map(flat([host(1, { weight: 3 }), host(2)]));
    expect(share(chosen, 1)).toBeGreaterThan(0.68);
    expect(share(chosen, 1)).toBeLessThan(0.82);
  });

  it('moves few keys of the others when one host goes', () => {
    const before = map(flat(hosts(5)));
    const after = map(flat(hosts(5)), [3]);
    const others = before.map((id, i) => [id, after[i]!]).filter(([id]) => id !== '10.0.0.3:80');
    expect(after).not.toContain('10.0.0.3:80');
    expect(others.filter(([a, b]) => a !== b).length / others.length).toBeLessThan(0.25);
  });

  it('weighs localities, not lowered by their health', () => {
    const groups = [
      { priority: 0, weight: 1, hosts: [host(1), host(2)] },
      { priority: 0, weight: 3, hosts: [host(3)] },
    ];
    const chosen = map(groups, [2], { weighLocalities: true });
    expect(share(chosen, 3)).toBeGreaterThan(0.65);
    expect(share(chosen, 3)).toBeLessThan(0.85);
  });

  it('uses everything in panic', () => {
    expect(new Set(map(flat(hosts(4)), [1, 2, 3])).size).toBe(4);
    expect(new Set(map(flat(hosts(4)), [1, 2, 3], { panicThreshold: 0 })).size).toBe(1);
  });

  it('gives a retry another host, the same one for the same key', () => {
    const balancer = new HashingBalancer(maker(), random());
    balancer.update(levelsOf(flat(hosts(4))));
    for (const key of keys.slice(0, 200)) {
      const first = balancer.pick(key, undefined, once)!;
      const second = balancer.pick(key, [first], { ...once, maxAttempts: 60 })!;
      expect(second.id).not.toBe(first.id);
      expect(balancer.pick(key, [first], { ...once, maxAttempts: 60 })!.id).toBe(second.id);
      expect(balancer.pick(key, [first], { ...once, avoidPrevious: false })!.id).toBe(first.id);
    }
  });

  it('chooses none without hosts', () => {
    const balancer = new HashingBalancer(maker(), random());
    balancer.update(levelsOf([]));
    expect(balancer.pick(keys[0], undefined, once)).toBeUndefined();
  });
});

describe('retries', () => {
  const groups = [0, 1, 2].map((priority) => ({ priority, weight: 0, hosts: [host(priority + 1, { priority })] }));

  it('leave out the priorities of earlier attempts, then start again', () => {
    const levels = levelsOf(groups);
    const rules = { avoidPrevious: false, maxAttempts: 1, priorityUpdateFrequency: 1 };
    const tried = (...priorities: number[]) => priorities.map((priority) => groups[priority]!.hosts[0]!);
    const at = (...priorities: number[]) => retryLoads(levels, 140, tried(...priorities), rules).healthy;
    expect(at()).toEqual([100, 0, 0]);
    expect(at(0)).toEqual([0, 100, 0]);
    expect(at(0, 1)).toEqual([0, 0, 100]);
    expect(at(0, 1, 2)).toEqual([100, 0, 0]);
    expect(at(0, 1, 2, 0)).toEqual([0, 100, 0]);
  });

  it('change priority with every second attempt', () => {
    const levels = levelsOf(groups);
    const rules = { avoidPrevious: false, maxAttempts: 1, priorityUpdateFrequency: 2 };
    const first = groups[0]!.hosts[0]!;
    expect(retryLoads(levels, 140, [first], rules).healthy).toEqual([100, 0, 0]);
    expect(retryLoads(levels, 140, [first, first], rules).healthy).toEqual([0, 100, 0]);
    expect(retryLoads(levels, 140, [first, first, groups[1]!.hosts[0]!], rules).healthy).toEqual([0, 100, 0]);
  });

  it('draw in the priority that is left', () => {
    const balancer = new DrawingBalancer(chooser('RANDOM', { random: random() }), random(), () => 140);
    balancer.update(levelsOf(groups));
    const rules = { avoidPrevious: true, maxAttempts: 5, priorityUpdateFrequency: 1 };
    expect(balancer.pick(undefined, undefined, rules)!.priority).toBe(0);
    expect(balancer.pick(undefined, [groups[0]!.hosts[0]!], rules)!.priority).toBe(1);
  });
});

describe('slow start', () => {
  it('lets the weight grow over the window, faster at first with aggression', () => {
    let now = 0;
    const at = (aggression: number, age: number) => {
      now = age;
      return warmingWeight(
        { windowMs: 1000, aggression, minimumShare: 0.1 },
        () => now,
        () => 0,
      )(host(1, { weight: 10 }));
    };
    expect(at(1, 0)).toBe(1);
    expect(at(1, 500)).toBe(5);
    expect(at(2, 250)).toBe(5);
    expect(at(1, 1000)).toBe(10);
    expect(at(1, 5000)).toBe(10);
  });

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST'] as const)('spares a new host: %s', (policy) => {
    const fresh = host(2);
    const weightOf = warmingWeight(
      { windowMs: 1000, aggression: 1, minimumShare: 0.1 },
      () => 100,
      (one) => (one === fresh ? 0 : -5000),
    );
    const choose = chooser(policy, { random: random(), weightOf });
    const list = [host(1), fresh];
    let chosen = 0;
    for (let i = 0; i < 1100; i++) if (choose(list) === fresh) chosen++;
    expect(chosen).toBeGreaterThan(50);
    expect(chosen).toBeLessThan(170);
  });
});

it('LEAST_REQUEST compares choiceCount hosts', () => {
  const list = hosts(6, {}).map((one, i) => ({ ...one, active: i === 5 ? 0 : 9 }));
  const free = list[5]!;
  const times = (choiceCount: number) => {
    const choose = chooser('LEAST_REQUEST', { random: random(), choiceCount });
    let chosen = 0;
    for (let i = 0; i < 1200; i++) if (choose(list) === free) chosen++;
    return chosen / 1200;
  };
  expect(times(2)).toBeLessThan(0.4);
  expect(times(6)).toBeGreaterThan(0.6);
});
