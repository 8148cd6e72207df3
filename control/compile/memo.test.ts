import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { generator, labelsFrom, labelsKey, sharedList, slicedGenerator, successiveGenerator } from './memo.ts';
import { inOneGo } from './output/compiled-node.ts';

it('builds once for the same declared inputs, and again when one differs', () => {
  let built = 0;
  const sum = generator<{ one: object; n: number; text: string | undefined }, { readonly id: number }>(
    { one: true, n: true, text: true },
    () => ({ id: ++built }),
  );
  const [a, b] = [{}, {}];
  const first = sum({ one: a, n: 1, text: undefined });
  expect(sum({ one: a, n: 1, text: undefined })).toBe(first);
  const others = [
    { one: b, n: 1, text: undefined },
    { one: a, n: 2, text: undefined },
    { one: a, n: 1, text: '' },
  ].map(sum);
  expect(new Set([first, ...others]).size).toBe(4);
  expect(built).toBe(4);
});

it('keeps a result of nothing', () => {
  let built = 0;
  const nothing = generator<{ one: object }, undefined>({ one: true }, () => void built++);
  const one = {};
  nothing({ one });
  nothing({ one });
  expect(built).toBe(1);
});

it('has one list for the same items in the same order', () => {
  const [a, b] = [{}, {}];
  expect(sharedList([a, b])).toBe(sharedList([a, b]));
  expect(sharedList([a, b])).not.toBe(sharedList([b, a]));
  expect(sharedList([a, undefined])).not.toBe(sharedList([a]));
  expect(sharedList([])).toBe(sharedList([]));
});

it('writes labels as one key: those requested, whatever their order', () => {
  expect(labelsKey({ b: '2', a: '1' })).toBe(labelsKey({ a: '1', b: '2' }));
  expect(labelsFrom(labelsKey({ a: '1', b: '2', c: '3' }, ['c', 'a', 'x', 'toString']))).toEqual({ a: '1', c: '3' });
});

describe('successiveGenerator', () => {
  interface Input {
    readonly whose: object;
    readonly list: readonly number[];
  }

  it('starts from what it made last of an input that differs in the last field alone', () => {
    const lasts: unknown[] = [];
    const sum = successiveGenerator<Input, { readonly sum: number }>(
      { whose: true, list: true },
      function* (input, last) {
        lasts.push(last && [last.input.list, last.value.sum]);
        yield;
        return { sum: input.list.reduce((all, one) => all + one, 0) };
      },
    );
    const [a, b] = [{}, {}];
    const [one, two, three] = [[1], [1, 2], [1, 2, 3]];
    const values = [
      inOneGo(sum({ whose: a, list: one })),
      inOneGo(sum({ whose: b, list: two })),
      inOneGo(sum({ whose: a, list: three })),
      inOneGo(sum({ whose: a, list: one })),
    ];
    expect(values.map((value) => value.sum)).toEqual([1, 3, 6, 1]);
    expect(values[3]).toBe(values[0]);
    expect(lasts).toEqual([undefined, undefined, [one, 1]]);
  });

  it('makes a result once for callers that take turns, and begins again after an error', () => {
    let fails = true;
    let begun = 0;
    const made = successiveGenerator<{ a: object }, object>({ a: true }, function* () {
      begun++;
      yield;
      if (fails) throw new Error('not now');
      return {};
    });
    const a = {};
    expect(() => inOneGo(made({ a }))).toThrow('not now');
    fails = false;
    const [one, two] = [made({ a }), made({ a })];
    one.next();
    expect(two.next().done).toBe(true);
    expect(inOneGo(one)).toBe(inOneGo(made({ a })));
    expect(begun).toBe(2);
  });
});

describe('slicedGenerator', () => {
  it('makes a result once, whichever caller takes its steps', () => {
    const steps: number[] = [];
    const made = slicedGenerator<{ a: object }, object>({ a: true }, function* () {
      for (let i = 0; i < 4; i++) {
        steps.push(i);
        yield;
      }
      return {};
    });
    const a = {};
    const [one, two] = [made({ a }), made({ a })];
    one.next();
    two.next();
    // The first caller leaves; the second continues from where it was.
    one.return({});
    two.next();
    const result = inOneGo(made({ a }));
    expect(two.next()).toEqual({ done: true, value: result });
    expect(inOneGo(made({ a }))).toBe(result);
    expect(steps).toEqual([0, 1, 2, 3]);
  });

  it('begins again after an error', () => {
    let runs = 0;
    const made = slicedGenerator<{ a: number }, number>({ a: true }, function* ({ a }) {
      runs += 1;
      yield;
      if (runs === 1) throw new Error('once');
      return a;
    });
    expect(() => inOneGo(made({ a: 7 }))).toThrow('once');
    expect(inOneGo(made({ a: 7 }))).toBe(7);
  });
});

describe('a list that only caches refer to', () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  /** Collects what can be, and lets finalizers run. */
  const collect = async () => {
    for (let i = 0; i < 3; i++) {
      await new Promise((next) => setImmediate(next));
      gc();
    }
  };

  it('is the same list, with what was made of it, as long as its newest item is there', async () => {
    let built = 0;
    const made = generator<{ list: readonly object[] }, object>({ list: true }, () => ({ n: ++built }));
    const [old, newest] = [{}, {}];
    const weak = (() => {
      made({ list: sharedList([old]) });
      return new WeakRef(made({ list: sharedList([old, newest]) }));
    })();
    await collect();
    expect(made({ list: sharedList([old, newest]) })).toBe(weak.deref());
    expect(built).toBe(2);
  });

  it('goes with its newest item, and with too many later lists of that item', async () => {
    const old = {};
    const lists = (() => {
      const weak: WeakRef<object>[] = [];
      for (let i = 0; i < 5; i++) weak.push(new WeakRef(sharedList([old, { i }])));
      return weak;
    })();
    await collect();
    expect(lists.filter((list) => list.deref())).toEqual([]);
    const others = Array.from({ length: 20 }, (_, i) => ({ i }));
    for (const other of others) sharedList([other]);
    const newest = {};
    const many = (() => others.map((other) => new WeakRef(sharedList([other, newest]))))();
    await collect();
    expect(many.filter((list) => list.deref()).length).toBe(8);
  });
});
