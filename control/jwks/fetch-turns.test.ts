import { expect, it } from 'vitest';
import { FetchTurns } from './fetch-turns.ts';

/** Requests in the order in which they begin; each ends when the test ends it. */
function asking(limits: { inAll: number; perNamespace: number; perHost: number }) {
  const turns = new FetchTurns(limits);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const ask = (name: string, namespaces: string[], host = name, signal?: AbortSignal) =>
    turns.take(namespaces, host, signal).then((end) => {
      begun.push(name);
      ends.set(name, end);
    });
  const settle = () => new Promise((done) => setImmediate(done));
  const end = async (name: string) => {
    ends.get(name)!();
    await settle();
  };
  return { begun, ask, end, settle };
}

it('a namespace with many slow issuers leaves turns to the others, which come in order', async () => {
  const { begun, ask, end, settle } = asking({ inAll: 3, perNamespace: 2, perHost: 2 });
  for (let i = 0; i < 5; i++) void ask(`slow${i}`, ['a']);
  void ask('b0', ['b']);
  void ask('b1', ['b']);
  void ask('c0', ['c']);
  await settle();
  expect(begun).toEqual(['slow0', 'slow1', 'b0']);
  await end('b0');
  expect(begun.slice(3)).toEqual(['b1']);
  await end('b1');
  expect(begun.slice(4)).toEqual(['c0']);
  await end('c0');
  expect(begun.slice(5)).toEqual([]);
  await end('slow0');
  expect(begun.slice(5)).toEqual(['slow2']);
});

it('of one host so many run, and another host does not wait for it', async () => {
  const { begun, ask, end, settle } = asking({ inAll: 9, perNamespace: 9, perHost: 1 });
  void ask('x0', ['a'], 'x');
  void ask('x1', ['a'], 'x');
  void ask('y', ['a'], 'y');
  void ask('x2', ['b'], 'x');
  await settle();
  expect(begun).toEqual(['x0', 'y']);
  await end('x0');
  await end(begun[2]!);
  expect(begun.slice(2).toSorted()).toEqual(['x1', 'x2']);
});

it('what several namespaces ask for waits for the first of them alone, and begins once', async () => {
  const { begun, ask, end, settle } = asking({ inAll: 2, perNamespace: 1, perHost: 2 });
  void ask('slow', ['a']);
  void ask('shared', ['a', 'b']);
  await settle();
  expect(begun).toEqual(['slow', 'shared']);
  await end('shared');
  await end('slow');
  expect(begun).toHaveLength(2);
});

it('one that is given up leaves its place', async () => {
  const { begun, ask, end, settle } = asking({ inAll: 1, perNamespace: 1, perHost: 1 });
  const controller = new AbortController();
  void ask('first', ['a']);
  const second = ask('second', ['a'], 'second', controller.signal);
  void ask('third', ['a']);
  controller.abort(new Error('over'));
  await expect(second).rejects.toThrow('over');
  await settle();
  await end('first');
  expect(begun).toEqual(['first', 'third']);
});
