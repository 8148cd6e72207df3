/** Each rule of the CRDs accepts and refuses what its CEL expression does. */
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { requestUriScheme } from '../request-uri.ts';
import { listMap, object, string, withRules } from '../vocabulary.ts';
import { ruleCases } from './rule-cases.ts';
import * as rules from './rules.ts';

const violations = (schema: z.ZodType, value: unknown) =>
  (schema.safeParse(value).error?.issues ?? []).map((issue) =>
    issue.code === 'custom' ? issue.params?.['rule'] : issue.code,
  );

describe.each(ruleCases.map((each) => [each.rule.name, each] as const))('%s', (name, { rule, accepts, refuses }) => {
  const schema = withRules(z.unknown(), rule as never);
  it.each(accepts.map((value) => [value]))('accepts %j', (value) => expect(violations(schema, value)).toEqual([]));
  it.each(refuses.map((value) => [value]))('refuses %j', (value) => expect(violations(schema, value)).toEqual([name]));
});

it('every rule has its cases, and no two have the same name', () => {
  const all = Object.values(rules);
  expect(ruleCases.map((each) => each.rule)).toEqual(expect.arrayContaining(all));
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  for (const { accepts, refuses } of ruleCases) expect([accepts.length > 0, refuses.length > 0]).toEqual([true, true]);
});

it('a rule is checked beside other violations, and ignores a value of the wrong type', () => {
  const schema = withRules(
    object({ a: string(), b: string(), list: z.array(z.string()) }),
    {
      name: 'both',
      says: 'b is needed with a',
      holds: (value) => value.a === undefined || value.b !== undefined,
      at: ['b'],
    },
    { name: 'stumbles', says: 'never', holds: (value) => (value.list ?? []).every((each) => each.startsWith('x')) },
  );
  const found = schema.safeParse({ a: 'x', c: 1, list: [5] }, { reportInput: true }).error!.issues;
  expect(found.map((issue) => [issue.path.join('.'), issue.code])).toEqual([
    ['list.0', 'invalid_type'],
    ['', 'unrecognized_keys'],
    ['b', 'custom'],
  ]);
});

it('a rule ignores a value that is no message', () => {
  const schema = object({ spec: withRules(object({ wasm: string(), lua: string() }), rules.onePlugin as never) });
  expect(violations(schema, { spec: {} })).toEqual(['trafficextension.plugin']);
  for (const spec of [5, 'x', [], true]) expect(violations(schema, { spec })).toEqual(['invalid_type']);
});

it('characters are counted as the CRDs count them', () => {
  expect(violations(string({ max: 2 }), '\u{1F600}\u{1F600}')).toEqual([]);
  expect(violations(string({ max: 2 }), 'abc')).toEqual(['value']);
  expect(violations(string({ max: 2 }), '\u{1F600}'.repeat(3))).toEqual(['value']);
});

it('a list that is a map has each key once', () => {
  const schema = listMap(object({ name: string(), value: string() }), ['name']);
  expect(violations(schema, [{ name: 'a' }, { name: 'b' }])).toEqual([]);
  const { error } = schema.safeParse([{ name: 'a' }, { name: 'b' }, { name: 'a', value: 'x' }]);
  expect(error?.issues.map((issue) => [issue.path.join('.'), issue.message])).toEqual([
    ['2.name', 'name "a" is used twice'],
  ]);
});

it.each([
  ['http://a', 'http'],
  ['HTTP://a:80/b?c=%zz', 'http'],
  ['http://a:/b', 'http'],
  ['http://user:pass@a', 'http'],
  ['http://[::1]:8443/keys', 'http'],
  ['http://[fe80::1%25en0]', 'http'],
  ['http://b\u00fccher.example', 'http'],
  ['file:///a b', 'file'],
  ['unix:/a', 'unix'],
  ['mailto:a%', 'mailto'],
  ['oci://a:b:80', 'oci'],
  ['http://[::1%25a%20b]', 'http'],
  ['http://[::1%25a b]', undefined],
  ['http://a:80:80', undefined],
  ['oci://a[', undefined],
  ['http://[1.2.3.4]', undefined],
  ['http://[::1%25]', undefined],
  ['localhost:5000/x', 'localhost'],
  ['//a b/c', ''],
  ['/a?b', ''],
  ['*', ''],
  ['', undefined],
  ['a', undefined],
  ['a/b:c', undefined],
  [':a', undefined],
  ['1a:b', undefined],
  ['?a', undefined],
  ['http://a b', undefined],
  ['http://a:b', undefined],
  ['http://a#b', undefined],
  ['http://[::1', undefined],
  ['http://[::1]x', undefined],
  ['http://a%41', undefined],
  ['http://us er@a', undefined],
  ['http://a/%4', undefined],
  ['/%', undefined],
  ['http://a\n', undefined],
])('scheme of %j as Go reads it: %s', (text, scheme) => expect(requestUriScheme(text)).toBe(scheme));
