import { expect, it, vi } from 'vitest';
import { SlicedQueue } from './sliced-queue.ts';

it('takes one job of each source in turn, those of one source in their order', async () => {
  const queue = new SlicedQueue();
  const done: string[] = [];
  for (let n = 0; n < 4; n++) queue.add('10.0.0.1', () => void done.push(`a${n}`));
  queue.add('10.0.0.2', () => void done.push('b0'));
  queue.add('10.0.0.3', () => void done.push('c0'));
  await vi.waitFor(() => expect(done).toHaveLength(6));
  expect(done).toEqual(['a0', 'b0', 'c0', 'a1', 'a2', 'a3']);
});

it('lets the event loop run between slices, and takes jobs that are added meanwhile', async () => {
  const queue = new SlicedQueue();
  const done: string[] = [];
  const busy = (name: string) => () => {
    const until = performance.now() + 6;
    while (performance.now() < until);
    done.push(name);
  };
  queue.add('a', busy('first'));
  queue.add('a', busy('second'));
  setImmediate(() => void done.push('turn'));
  await vi.waitFor(() => expect(done).toContain('second'));
  expect(done.indexOf('turn')).toBeLessThan(done.indexOf('second'));
  queue.add('b', busy('later'));
  await vi.waitFor(() => expect(done).toContain('later'));
});
