import { describe, expect, it } from 'vitest';
import { choosePriority, loadsWithout, type PriorityCounts, planPriorities } from './priority-load.ts';

/** `healthy/total`, `healthy+degraded/total`. */
function counts(...texts: string[]): PriorityCounts[] {
  return texts.map((text) => {
    const [parts, total] = text.split('/') as [string, string];
    const [healthy, degraded = '0'] = parts.split('+') as [string, string?];
    return { healthy: Number(healthy), degraded: Number(degraded), total: Number(total) };
  });
}

describe('priority loads (the tables of Envoy’s "Priority levels" page)', () => {
  // [hosts healthy by priority, expected percent]
  it.each([
    [
      ['100/100', '100/100'],
      [100, 0],
    ],
    [
      ['72/100', '100/100'],
      [100, 0],
    ],
    [
      ['71/100', '100/100'],
      [99, 1],
    ],
    [
      ['50/100', '100/100'],
      [70, 30],
    ],
    [
      ['25/100', '100/100'],
      [35, 65],
    ],
    [
      ['0/100', '100/100'],
      [0, 100],
    ],
    [
      ['25/100', '25/100'],
      [50, 50],
    ],
    [
      ['20/100', '20/100', '10/100'],
      [40, 40, 20],
    ],
    [
      ['20/100', '20/100', '20/100'],
      [34, 33, 33],
    ],
  ])('%j', (levels, expected) => {
    const { loads } = planPriorities(counts(...levels), 140, 0);
    expect(loads.healthy).toEqual(expected);
  });

  it('gives degraded hosts what healthy ones cannot take', () => {
    const { loads } = planPriorities(counts('20+80/100'), 140, 0);
    expect(loads).toEqual({ healthy: [28], degraded: [72] });
    const two = planPriorities(counts('0+100/100', '50/100'), 140, 0);
    expect(two.loads).toEqual({ healthy: [0, 70], degraded: [30, 0] });
  });

  it('panics at a level only when the whole is short of health', () => {
    expect(planPriorities(counts('10/100', '100/100'), 140, 50).panic).toEqual([false, false]);
    expect(planPriorities(counts('10/100', '60/100'), 140, 50)).toEqual({
      loads: { healthy: [15, 85], degraded: [0, 0] },
      panic: [true, false],
    });
  });

  it('spreads by the number of hosts when everything panics', () => {
    expect(planPriorities(counts('1/10', '1/30'), 140, 50)).toEqual({
      loads: { healthy: [25, 75], degraded: [0, 0] },
      panic: [true, true],
    });
  });

  it('leaves everything to the first, which has no host to give, when panic is off', () => {
    expect(planPriorities(counts('0/10', '0/30'), 140, 0)).toEqual({
      loads: { healthy: [100, 0], degraded: [0, 0] },
      panic: [false, false],
    });
  });

  it('counts an empty priority as none', () => {
    expect(planPriorities(counts('0/0', '4/4'), 140, 50).loads.healthy).toEqual([0, 100]);
  });

  it('always adds up to 100', () => {
    for (let a = 0; a <= 7; a++)
      for (let b = 0; b <= 5; b++)
        for (const threshold of [0, 50]) {
          const { loads } = planPriorities(counts(`${a}/7`, `${b}/5`, '1+1/9'), 140, threshold);
          const sum = [...loads.healthy, ...loads.degraded].reduce((x, y) => x + y, 0);
          expect(sum, `${a} ${b} ${threshold}`).toBe(100);
        }
  });
});

it('chooses by the point on the scale', () => {
  const loads = { healthy: [30, 20], degraded: [50, 0] };
  expect(choosePriority(loads, 30)).toEqual({ priority: 0, degraded: false });
  expect(choosePriority(loads, 31)).toEqual({ priority: 1, degraded: false });
  expect(choosePriority(loads, 51)).toEqual({ priority: 0, degraded: true });
  expect(choosePriority(loads, 100)).toEqual({ priority: 0, degraded: true });
});

it('divides without the priorities of earlier attempts, unless none is left', () => {
  const levels = counts('4/4', '4/4', '1/4');
  expect(loadsWithout(levels, 140, new Set([0]))?.healthy).toEqual([0, 100, 0]);
  expect(loadsWithout(levels, 140, new Set([0, 1]))?.healthy).toEqual([0, 0, 100]);
  expect(loadsWithout(levels, 140, new Set([0, 1, 2]))).toBeUndefined();
});
