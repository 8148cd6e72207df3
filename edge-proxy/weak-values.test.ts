import { expect, it } from 'vitest';
import { WeakValues } from './weak-values.ts';

it('makes a value once per key while it is in use, and keeps nothing of a failure', () => {
  const values = new WeakValues<object>();
  const first = values.get('a', () => ({}));
  expect(values.get('a', () => ({}))).toBe(first);
  expect(values.get('b', () => ({}))).not.toBe(first);
  const failing = () => {
    throw new Error('no');
  };
  expect(() => values.get('c', failing)).toThrow('no');
  const made = {};
  expect(values.get('c', () => made)).toBe(made);
});
