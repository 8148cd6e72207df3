import { expect, it, vi } from 'vitest';
import { type PushClass, PushQueue } from './push-queue.ts';

interface Key {
  readonly name: string;
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
    classOf: () => 'change',
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
    classOf: () => 'change',
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
    classOf: () => 'change',
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
    classOf: () => 'first',
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
    classOf: () => 'change',
    sliceMs: 0,
  });
  const waits = ['a', 'b'].map((name) => queue.done(key(name)));
  queue.close();
  await Promise.all(waits);
  await queue.done(key('late'));
  expect(queue.length).toBe(0);
});

/** A queue on a clock that moves by `stepMs` a step; `trace` gets the name of the key at each. */
function timed(trace: string[], steps: (name: string) => number, stepMs = 8) {
  let time = 0;
  return new PushQueue<Key>({
    *work({ name }) {
      for (let i = 0; i < steps(name); i++) {
        time += stepMs;
        trace.push(name);
        yield;
      }
      return true;
    },
    wanted: () => true,
    classOf: ({ name }): PushClass => (name.startsWith('first') ? 'first' : 'change'),
    now: () => time,
  });
}

it('gives changes and first polls half of the time each while both wait', async () => {
  const trace: string[] = [];
  const queue = timed(trace, () => 1);
  const firsts = Array.from({ length: 1000 }, (_, i) => queue.done(key(`first ${i}`)));
  const changes = Array.from({ length: 20 }, (_, i) => queue.done(key(`change ${i}`)));
  await Promise.all(changes);
  const before = trace.filter((name) => name.startsWith('first')).length;
  expect(before).toBeGreaterThanOrEqual(19);
  expect(before).toBeLessThanOrEqual(22);
  await Promise.all(firsts);
  expect(trace).toHaveLength(1020);
});

it('lets first polls in while changes never end, by the time that each class took', async () => {
  const trace: string[] = [];
  const queue = timed(trace, (name) => (name.startsWith('first') ? 3 : 1));
  const live = Array.from({ length: 50 }, (_, i) => key(`change ${i}`));
  for (const item of live) queue.add(item);
  let waiting = true;
  const first = queue.done(key('first')).then(() => (waiting = false));
  for (let i = 0; waiting && i < 1000; i++) {
    for (const item of live) queue.add(item);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await first;
  expect(trace.lastIndexOf('first')).toBeLessThan(8);
});

it('saves up no time for a class that was idle', async () => {
  const trace: string[] = [];
  const queue = timed(trace, () => 1);
  await Promise.all(Array.from({ length: 100 }, (_, i) => queue.done(key(`change ${i}`))));
  trace.length = 0;
  const firsts = Array.from({ length: 50 }, (_, i) => queue.done(key(`first ${i}`)));
  await Promise.all([queue.done(key('change')), ...firsts]);
  expect(trace.indexOf('change')).toBeLessThan(3);
});

it('works on a bounded number of keys in turns, so that quick ones pass a slow one', async () => {
  const trace: string[] = [];
  const slow = ['first a', 'first b', 'first c', 'first d', 'first e', 'first f'];
  const queue = timed(trace, (name) => (slow.includes(name) ? 20 : 1));
  const all = slow.map((name) => queue.done(key(name)));
  await vi.waitFor(() => expect(trace.length).toBeGreaterThanOrEqual(40));
  expect([...new Set(trace.slice(0, 40))]).toEqual(slow.slice(0, 4));
  await Promise.all(all);
  trace.length = 0;
  const late = [queue.done(key('first a')), queue.done(key('first quick'))];
  await late[1];
  expect(trace.length).toBeLessThan(6);
  await late[0];
});

it('does not begin a key twice at a time', async () => {
  let working = 0;
  let runs = 0;
  const one = key('a');
  const queue: PushQueue<Key> = new PushQueue<Key>({
    *work(item) {
      working += 1;
      runs += 1;
      expect(working).toBe(1);
      if (runs < 3) queue.add(item);
      for (let i = 0; i < 3; i++) yield;
      working -= 1;
      return true;
    },
    wanted: () => true,
    classOf: () => (runs === 0 ? 'first' : 'change'),
    // Time stands still, so that the class that has to wait never has had more of it.
    now: () => 0,
    sliceMs: 0,
  });
  queue.add(one);
  await vi.waitFor(() => expect([runs, working]).toEqual([3, 0]));
});

it('takes those that use what changed almost first, and moves one that waits already', async () => {
  const concerned = new Set<Key>();
  const done: string[] = [];
  let clock = 0;
  const queue = new PushQueue<Key>({
    *work({ name }) {
      // Longer than a slice.
      clock += 10;
      yield;
      done.push(name);
      return false;
    },
    wanted: () => true,
    classOf: (item) => (concerned.has(item) ? 'concerned' : 'change'),
    now: () => clock,
  });
  const others = Array.from({ length: 40 }, (_, i) => key(`other ${i}`));
  for (const other of others) queue.add(other);
  const used = others.slice(-8);
  for (const item of used) {
    concerned.add(item);
    queue.add(item);
  }
  await Promise.all(others.map((other) => queue.done(other)));
  const places = used.map(({ name }) => done.indexOf(name));
  expect(Math.max(...places)).toBeLessThan(14);
  expect(new Set(done).size).toBe(40);
  // The others have a share meanwhile.
  expect(done.slice(0, 14).some((name) => !used.some((item) => item.name === name))).toBe(true);
});
