import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CoarseClock, LazyTimer, TimerPool } from './timers.ts';

const clock = () => performance.now();

describe('timers of exchanges', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('fires once, at its time, however often it was set anew', () => {
    const fired: number[] = [];
    const begin = clock();
    const timer = new LazyTimer(clock, () => fired.push(clock() - begin));
    timer.set(100);
    vi.advanceTimersByTime(60);
    timer.set(100);
    vi.advanceTimersByTime(99);
    expect(fired).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(fired).toEqual([160]);
  });

  it('can be shortened while it runs, to its past too, and not lengthened', () => {
    const fired: number[] = [];
    const begin = clock();
    const timer = new LazyTimer(clock, () => fired.push(clock() - begin));
    timer.shorten(10);
    timer.set(1000);
    timer.shorten(2000);
    timer.shorten(300);
    vi.advanceTimersByTime(299);
    expect(fired).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(fired).toEqual([300]);
    timer.set(1000);
    vi.advanceTimersByTime(500);
    timer.shorten(400);
    vi.advanceTimersByTime(0);
    expect(fired).toEqual([300, 800]);
    vi.advanceTimersByTime(5000);
    expect(fired).toHaveLength(2);
  });

  it('counts long times coarsely: never shorter, at most two ticks longer', () => {
    const fired: number[] = [];
    const begin = clock();
    const timer = new LazyTimer(clock, () => fired.push(clock() - begin), new CoarseClock(clock));
    timer.set(5000);
    vi.advanceTimersByTime(4990);
    timer.set(5000);
    vi.advanceTimersByTime(4999);
    expect(fired).toEqual([]);
    vi.advanceTimersByTime(500);
    expect(fired).toHaveLength(1);
    expect(fired[0]).toBeGreaterThanOrEqual(9990);
    expect(fired[0]).toBeLessThanOrEqual(9990 + 201);
  });

  it('stops ticking when nobody reads the time, and is right when somebody does again', () => {
    const coarse = new CoarseClock(clock);
    coarse.now();
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(3_600_000);
    expect(coarse.now()).toBe(clock());
  });

  it('lends timers again: only who holds one hears of it', () => {
    const pool = new TimerPool(clock);
    const heard: string[] = [];
    const owner = (name: string) => ({ onTimeout: () => heard.push(name) });
    const first = pool.take(owner('first'), 1000);
    vi.advanceTimersByTime(500);
    first.release();
    const second = pool.take(owner('second'), 1000);
    expect(second).toBe(first);
    const third = pool.take(owner('third'), 300);
    expect(third).not.toBe(first);
    vi.advanceTimersByTime(999);
    expect(heard).toEqual(['third']);
    vi.advanceTimersByTime(1);
    expect(heard).toEqual(['third', 'second']);
    second.release();
    vi.advanceTimersByTime(100_000);
    expect(heard).toHaveLength(2);
  });
});
