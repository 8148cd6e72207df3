import { expect, it, vi } from 'vitest';
import { PushQueue } from './push-queue.ts';

interface Key {
  name: string;
}
const key = (name: string): Key => ({ name });

it('works first come, first served, each key once however often it is added', async () => {
  const done: string[] = [];
  const queue = new PushQueue<Key>({
    *work({ name }) {
      yield;
      done.push(name);
      return true;
    },
    wanted: () => true,
  });
  const [a, b, c] = ['a', 'b', 'c'].map(key) as [Key, Key, Key];
  queue.add(a);
  for (const item of [b, c, b, c, b]) queue.add(item);
  expect(queue.length).toBe(2);
  await queue.done(c);
  expect(done).toEqual(['a', 'b', 'c']);
});

it('takes a key again that is added while it is worked on', async () => {
  let runs = 0;
  const one = key('a');
  const queue: PushQueue<Key> = new PushQueue<Key>({
    *work(item) {
      runs += 1;
      if (runs === 1) queue.add(item);
      yield;
      return false;
    },
    wanted: () => true,
  });
  queue.add(one);
  await vi.waitFor(() => expect(runs).toBe(2));
  expect(queue.length).toBe(0);
});

it('lets the event loop in between slices, also within the work for one key', async () => {
  let turns = 0;
  let working = true;
  const count = () => {
    turns += 1;
    if (working) setImmediate(count);
  };
  setImmediate(count);
  const queue = new PushQueue<Key>({
    *work() {
      for (let i = 0; i < 5; i++) yield;
      working = false;
      return true;
    },
    wanted: () => true,
    sliceMs: 0,
  });
  await queue.done(key('long'));
  expect(turns).toBeGreaterThanOrEqual(5);
});

it('does nothing for clients that left, before or during the work', async () => {
  const steps: string[] = [];
  const left = new Set<string>(['gone']);
  const queue = new PushQueue<Key>({
    *work({ name }) {
      steps.push(`${name} begins`);
      left.add(name);
      yield;
      yield;
      steps.push(`${name} ends`);
      return true;
    },
    wanted: ({ name }) => !left.has(name),
    sliceMs: 0,
  });
  await Promise.all([queue.done(key('gone')), queue.done(key('leaving'))]);
  expect(steps).toEqual(['leaving begins']);
});

it('lets everybody go when it is closed', async () => {
  const queue = new PushQueue<Key>({
    *work() {
      yield;
      return true;
    },
    wanted: () => true,
    sliceMs: 0,
  });
  const waits = ['a', 'b'].map((name) => queue.done(key(name)));
  queue.close();
  await Promise.all(waits);
  await queue.done(key('late'));
  expect(queue.length).toBe(0);
});
