import { expect, it } from 'vitest';
import { message, string, struct, uint32 } from './message.ts';

const schema = message({ someName: string(), count: uint32(), metadata: struct() });

it('reads both spellings of names, leaves out null, and refuses what is unknown', () => {
  const read = { someName: 'a', count: 2 };
  expect(schema.parse({ someName: 'a', count: '2' })).toEqual(read);
  expect(schema.parse({ some_name: 'a', count: 2, metadata: null })).toEqual(read);
  expect(() => schema.parse({ someName: 'a', other: 1 })).toThrow('other');
  expect(schema.safeParse(JSON.parse('{"__proto__": {"someName": "a"}}')).success).toBe(false);
});

it('takes any JSON object as a Struct, its keys untouched, and nothing else', () => {
  const metadata = { snake_case: [1, 'a', null, { b: true }], empty: {} };
  expect(schema.parse({ metadata })).toEqual({ metadata });
  for (const wrong of [1, 'a', [], [{}], { a: undefined }, { a: [Number.NaN] }, { a: { b: () => 1 } }])
    expect([wrong, schema.safeParse({ metadata: wrong }).success]).toEqual([wrong, false]);
});
