import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../cluster.ts';
import { OutlierDetection } from './outlier-detection.ts';

function setup(count: number, config: object, random: () => number = () => 0) {
  const hosts = Array.from({ length: count }, (_, i) => ({ id: `h${i}` }) as Endpoint);
  const clock = { now: 0, changes: 0 };
  const detection = new OutlierDetection(
    config,
    { now: () => clock.now, random, endpoints: () => hosts, changed: () => void clock.changes++ },
    new Map(),
  );
  const report = (i: number, status: number | 'timeout', times = 1) => {
    for (let n = 0; n < times; n++) detection.report(hosts[i]!, status);
  };
  const ejected = () => hosts.flatMap((host, i) => (detection.isEjected(host) ? [i] : []));
  const interval = () => {
    clock.now += 10_000;
    detection.tick();
  };
  return { hosts, detection, clock, report, ejected, interval };
}

describe('how many may be ejected (observed on Envoy 1.40)', () => {
  it.each([
    [2, 10, 0],
    [9, 10, 0],
    [10, 10, 1],
    [2, 50, 1],
    [3, 40, 1],
    [3, 66, 1],
    [3, 67, 2],
    [3, 100, 3],
  ])('%i hosts, %i percent: %i', (count, maxEjectionPercent, expected) => {
    const { report, ejected } = setup(count, { consecutive5xx: 1, maxEjectionPercent });
    for (let i = 0; i < count; i++) report(i, 500);
    expect(ejected()).toHaveLength(expected);
  });

  it('always one, when told so', () => {
    const { report, ejected } = setup(2, { consecutive5xx: 1, maxEjectionPercent: 0, alwaysEjectOneHost: true });
    report(1, 500);
    report(0, 500);
    expect(ejected()).toEqual([1]);
  });
});

it('lengthens the ejections up to the longest, and shortens them while all is well', () => {
  const { report, ejected, clock, detection } = setup(1, {
    consecutive5xx: 1,
    maxEjectionPercent: 100,
    baseEjectionTime: '10s',
    maxEjectionTime: '25s',
  });
  const until = () => detection.states.get('h0')!.ejectedUntil - clock.now;
  const lengths: number[] = [];
  for (let i = 0; i < 4; i++) {
    report(0, 500);
    lengths.push(until());
    clock.now += until();
    detection.tick();
    expect(ejected()).toEqual([]);
  }
  expect(lengths).toEqual([10_000, 20_000, 25_000, 25_000]);
  for (let i = 0; i < 3; i++) {
    clock.now += 10_000;
    detection.tick();
  }
  report(0, 500);
  expect(until()).toBe(10_000);
});

it('ejects the share that is enforced, and each for its jitter longer', () => {
  // Whether it is enforced, then the jitter.
  const draws = [0.5, 0.499, 0.25];
  const { report, ejected, detection } = setup(
    2,
    {
      consecutive5xx: 1,
      enforcingConsecutive5xx: 50,
      maxEjectionPercent: 100,
      baseEjectionTime: '10s',
      maxEjectionTimeJitter: '4s',
    },
    () => draws.shift()!,
  );
  report(0, 500);
  expect(ejected()).toEqual([]);
  report(1, 500);
  expect(ejected()).toEqual([1]);
  expect(detection.states.get('h1')!.ejectedUntil).toBe(11_000);
  expect(draws).toEqual([]);
});

describe('standing out', () => {
  const quiet = { consecutive5xx: 0, maxEjectionPercent: 50 };

  it('ejects a host whose success rate is far below the others', () => {
    const { report, ejected, interval } = setup(5, { ...quiet, successRateRequestVolume: 10 });
    for (let i = 0; i < 5; i++) report(i, 200, 100);
    report(2, 500, 100);
    expect(ejected()).toEqual([]);
    interval();
    expect(ejected()).toEqual([2]);
  });

  it('does not with too few hosts, too few requests, or when not enforced', () => {
    for (const [count, config] of [
      [4, { successRateRequestVolume: 10 }],
      [5, { successRateRequestVolume: 1000 }],
      [5, { successRateRequestVolume: 10, enforcingSuccessRate: 0 }],
    ] as const) {
      const { report, ejected, interval } = setup(count, { ...quiet, ...config });
      for (let i = 0; i < count; i++) report(i, i === 2 ? 500 : 200, 100);
      interval();
      expect(ejected()).toEqual([]);
    }
  });

  it('counts each interval anew', () => {
    const { report, ejected, interval } = setup(5, { ...quiet, successRateRequestVolume: 150 });
    for (let n = 0; n < 2; n++) {
      for (let i = 0; i < 5; i++) report(i, i === 2 ? 500 : 200, 100);
      interval();
    }
    expect(ejected()).toEqual([]);
  });

  it('ejects by the percentage of failures', () => {
    const { report, ejected, interval } = setup(5, {
      ...quiet,
      enforcingSuccessRate: 0,
      enforcingFailurePercentage: 100,
      failurePercentageThreshold: 40,
    });
    for (let i = 0; i < 5; i++) report(i, 200, 60);
    report(1, 500, 39);
    report(3, 500, 41);
    interval();
    expect(ejected()).toEqual([3]);
  });

  it('tells local failures apart with the split', () => {
    const { report, ejected, interval } = setup(5, {
      ...quiet,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailure: 0,
      successRateRequestVolume: 10,
    });
    for (let i = 0; i < 5; i++) report(i, 200, 100);
    report(4, 'timeout', 100);
    interval();
    expect(ejected()).toEqual([4]);
  });
});

it('takes a host back that passes its health check', () => {
  const { hosts, report, ejected, detection } = setup(1, { consecutive5xx: 1, maxEjectionPercent: 100 });
  report(0, 500);
  detection.onHealthCheckPassed(hosts[0]!);
  expect(ejected()).toEqual([]);
});
