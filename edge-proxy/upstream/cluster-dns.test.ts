import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Cluster } from '../../shared/xds/cluster.ts';
import { resolvePeriodically } from './cluster-dns.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Milliseconds between the look-ups, of which the first `failing` fail. */
async function waits(config: object, draw: number, failing: number, count: number): Promise<number[]> {
  const asked: number[] = [];
  const resolve = () => {
    asked.push(performance.now());
    return asked.length <= failing
      ? Promise.reject(new Error('no such host'))
      : Promise.resolve({ addresses: ['10.0.0.1'], ttl: undefined });
  };
  const cluster = Cluster.parse({ name: 'c', type: 'STRICT_DNS', ...config });
  const stop = resolvePeriodically('h', cluster, { resolve, random: () => draw }, new Map(), () => {});
  for (let i = 0; asked.length < count && i < 100; i++) await vi.advanceTimersToNextTimerAsync();
  stop();
  return asked.slice(1).map((at, i) => Math.round(at - asked[i]!));
}

it.each([
  [0, [5000, 5000]],
  [0.5, [6000, 6000]],
])('the rate has its jitter added: drawn %d', async (draw, expected) => {
  expect(await waits({ dns_jitter: '2s' }, draw, 0, 3)).toEqual(expected);
});

it.each([
  [0, [1000, 1000, 1000, 1000]],
  [0.5, [2000, 4000, 5000, 5000]],
  [0.999, [3996, 7992, 9990, 9990]],
])('failures back off, fully jittered, up to the longest interval: drawn %d', async (draw, expected) => {
  const config = { dns_failure_refresh_rate: { base_interval: '2s', max_interval: '10s' } };
  expect(await waits(config, draw, 9, 5)).toEqual(expected);
});
