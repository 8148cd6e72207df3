import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fetches, type FetchOutcome } from './fetches.ts';

describe('fetches', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function setup(maxWaiting = 10) {
    const wanted: string[] = [];
    const fetches = new Fetches({ now: Date.now, monotonicMs: () => performance.now() }, { waitMs: 1000, maxWaiting });
    fetches.want = (type, name) => void wanted.push(`${type} ${name}`);
    const outcomes: string[] = [];
    const join = (name: string) =>
      void fetches.join('virtualHosts', name).done.then((outcome: FetchOutcome) => outcomes.push(`${name} ${outcome}`));
    return { fetches, wanted, outcomes, join };
  }

  it('ask once for all that wait, who share the deadline of the first', async () => {
    const { fetches, wanted, outcomes, join } = setup();
    join('a');
    await vi.advanceTimersByTimeAsync(900);
    join('a');
    join('b');
    expect([wanted, fetches.size]).toEqual([['virtualHosts a', 'virtualHosts b'], 3]);
    await vi.advanceTimersByTimeAsync(100);
    expect([outcomes, fetches.size]).toEqual([['a timeout', 'a timeout'], 1]);
    fetches.settle('virtualHosts', 'b', 'changed');
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes.at(-1)).toBe('b changed');
    // After a timeout the next request begins again.
    join('a');
    expect(wanted.at(-1)).toBe('virtualHosts a');
    fetches.close();
    expect(fetches.size).toBe(0);
  });

  it('let no more wait than the limit', async () => {
    const { fetches, wanted, outcomes, join } = setup(2);
    for (const name of ['a', 'a', 'a', 'b']) join(name);
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes).toEqual(['a overflow', 'b overflow']);
    expect(wanted).toEqual(['virtualHosts a']);
    fetches.settle('virtualHosts', 'a', 'changed');
    join('b');
    expect(fetches.size).toBe(1);
    fetches.close();
  });

  it('wait for nothing that was refused, until it changes or is known no longer', async () => {
    const { fetches, wanted, outcomes, join } = setup();
    join('a');
    fetches.settle('virtualHosts', 'a', 'refused');
    join('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes).toEqual(['a refused', 'a refused']);
    fetches.settle('virtualHosts', 'a', 'changed');
    join('a');
    fetches.recheck('virtualHosts', () => false);
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes.at(-1)).toBe('a changed');
    expect(wanted).toEqual(['virtualHosts a', 'virtualHosts a']);
  });

  it('keep what was refused wanted while it is used, asking once in the time of a wait', async () => {
    const { fetches, wanted, outcomes, join } = setup();
    join('a');
    fetches.settle('virtualHosts', 'a', 'refused');
    join('a');
    await vi.advanceTimersByTimeAsync(1000);
    join('a');
    join('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(wanted).toEqual(['virtualHosts a', 'virtualHosts a']);
    expect(outcomes).toEqual(['a refused', 'a refused', 'a refused', 'a refused']);
    expect(fetches.size).toBe(0);
  });
});
