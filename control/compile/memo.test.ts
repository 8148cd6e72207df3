import { expect, it } from 'vitest';
import { generator, labelsFrom, labelsKey, sharedList } from './memo.ts';

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
