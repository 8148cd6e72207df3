import { expect, it } from 'vitest';
import { batchClock } from './batch-clock.ts';
import { beginBatch, endBatch, uncorkSoon } from './cork.ts';

it('reads the clock once a batch, and each time outside of one', async () => {
  let reads = 0;
  const clock = batchClock({ now: () => 7, monotonicMs: () => ++reads });
  expect([clock.monotonicMs(), clock.monotonicMs()]).toEqual([1, 2]);
  beginBatch();
  expect([clock.monotonicMs(), clock.monotonicMs()]).toEqual([3, 3]);
  beginBatch();
  endBatch();
  expect(clock.monotonicMs()).toBe(3);
  endBatch();
  expect(clock.monotonicMs()).toBe(4);
  beginBatch();
  const written: number[] = [];
  uncorkSoon({ uncork: () => written.push(clock.monotonicMs()) });
  expect(clock.monotonicMs()).toBe(5);
  endBatch();
  // What is gathered outside of a batch is written in a batch of its own.
  uncorkSoon({ uncork: () => written.push(clock.monotonicMs(), clock.monotonicMs()) });
  await Promise.resolve();
  expect(written).toEqual([5, 6, 6]);
  expect(clock.now()).toBe(7);
});

it('is one clock for a clock', () => {
  const clock = { now: () => 0, monotonicMs: () => 0 };
  expect(batchClock(clock)).toBe(batchClock(clock));
});
