import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requestDouble } from '../testing/request-double.ts';
import {
  compileHeaderMatcher,
  compileQueryParameterMatcher,
  compileStringMatcher,
  queryParameter,
} from './matchers.ts';

describe('texts', () => {
  it('agree with plain string functions, with and without case', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'A', 'b', 'B', '/') });
    fc.assert(
      fc.property(text, text, fc.boolean(), (wanted, value, ignoreCase) => {
        const [w, v] = ignoreCase ? [wanted.toLowerCase(), value.toLowerCase()] : [wanted, value];
        expect(compileStringMatcher({ exact: wanted, ignoreCase }, '')(value)).toBe(v === w);
        if (wanted === '') return;
        expect(compileStringMatcher({ prefix: wanted, ignoreCase }, '')(value)).toBe(v.startsWith(w));
        expect(compileStringMatcher({ suffix: wanted, ignoreCase }, '')(value)).toBe(v.endsWith(w));
        expect(compileStringMatcher({ contains: wanted, ignoreCase }, '')(value)).toBe(v.includes(w));
      }),
    );
  });
  it('a regex takes the whole text; only ASCII folds', () => {
    expect(compileStringMatcher({ safeRegex: { regex: 'a+' } }, '')('aab')).toBe(false);
    expect(compileStringMatcher({ exact: 'k', ignoreCase: true }, '')('\u212a')).toBe(false);
  });
  it('what is not ASCII is compared as the UTF-8 it is on the wire; decoded text as it is', () => {
    const wire = Buffer.from('é☺', 'utf8').toString('latin1');
    for (const matcher of [{ exact: 'é☺' }, { prefix: 'é' }, { suffix: '☺' }, { contains: 'é' }]) {
      expect(compileStringMatcher(matcher, '')(wire)).toBe(true);
      expect(compileStringMatcher(matcher, '')('é☺')).toBe(false);
      expect(compileStringMatcher(matcher, '', 'text')('é☺')).toBe(true);
    }
    for (const regex of ['é☺', '.{5}', '[^a]{5}', '\\pL\\W.*']) {
      expect(compileStringMatcher({ safeRegex: { regex } }, '')(wire)).toBe(true);
      expect(compileStringMatcher({ safeRegex: { regex } }, '', 'text')('é☺')).toBe(true);
    }
  });
  it('bytes that are not UTF-8 hide nothing from a regular expression', () => {
    for (const regex of ['.*secret.*', '[^a]*', '.secret', '\\x{ff}secret'])
      expect(compileStringMatcher({ safeRegex: { regex } }, '')('\u00ffsecret')).toBe(true);
    expect(compileStringMatcher({ safeRegex: { regex: '\\Q\\x{100}\\E' } }, '')('\\x{100}')).toBe(true);
    for (const regex of ['\\x{100}', '[\\x{80}-\\x{10ffff}]', '\\\\\\x{2028}'])
      expect(() => compileStringMatcher({ safeRegex: { regex } }, 'at')).toThrow(
        /at\.safeRegex: invalid escape sequence/,
      );
  });
  it.each([[{}], [{ exact: 'a', prefix: 'b' }], [{ prefix: '' }], [{ safeRegex: { regex: '(?=a)' } }]])(
    'refuses %j',
    (matcher) => expect(() => compileStringMatcher(matcher, 'here')).toThrow(/^here/),
  );
});

describe('headers', () => {
  const request = requestDouble({ method: 'PUT', path: '/a?b', authority: 'h:1', headers: { 'X-One': '1', n: '42' } });
  it.each([
    [{ name: ':method', stringMatch: { exact: 'PUT' } }, true],
    [{ name: ':path', stringMatch: { exact: '/a?b' } }, true],
    [{ name: ':scheme', stringMatch: { exact: 'http' } }, true],
    [{ name: ':authority', stringMatch: { prefix: 'h' } }, true],
    [{ name: 'Host', stringMatch: { exact: 'h:1' } }, true],
    [{ name: 'X-ONE', stringMatch: { exact: '1' } }, true],
    [{ name: 'x-one', stringMatch: { exact: '1' }, invertMatch: true }, false],
    [{ name: 'x-one' }, true],
    [{ name: 'x-one', presentMatch: false }, false],
    [{ name: 'none', presentMatch: true, invertMatch: true }, true],
    [{ name: 'none', stringMatch: { exact: '1' } }, false],
    // Missing does not match, inverted or not, unless it counts as empty.
    [{ name: 'none', stringMatch: { exact: '1' }, invertMatch: true }, false],
    [{ name: 'none', stringMatch: { exact: '1' }, invertMatch: true, treatMissingHeaderAsEmpty: true }, true],
    [{ name: 'n', rangeMatch: { start: 42, end: 43 } }, true],
    [{ name: 'n', rangeMatch: { start: 0, end: 42 } }, false],
    [{ name: 'x-two', rangeMatch: { start: 0, end: 42 } }, false],
  ])('%j: %s', (matcher, yes) => expect(compileHeaderMatcher(matcher, '')(request)).toBe(yes));
  it('several fields of a name are judged one by one', () => {
    const twice = requestDouble({ headers: { a: '1' } });
    twice.headers.append('A', '2');
    const exact = (value: string, invertMatch: boolean) =>
      compileHeaderMatcher({ name: 'a', stringMatch: { exact: value }, invertMatch }, '')(twice);
    expect(exact('1,2', false)).toBe(false);
    expect([exact('1', false), exact('2', false), exact('3', false)]).toEqual([true, true, false]);
    // Inverted: none may match.
    expect([exact('1', true), exact('2', true), exact('3', true)]).toEqual([false, false, true]);
  });
});

describe('query parameters', () => {
  it('the first of the name, as a naive parser reads it', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '='), maxLength: 4 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), fc.constantFrom('a', 'b', 'ab'), (parts, name) => {
        const pairs = parts.map((one) =>
          one.includes('=') ? [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)] : [one, ''],
        );
        expect(queryParameter(`/p?${parts.join('&')}`, name)).toBe(pairs.find(([key]) => key === name)?.[1]);
      }),
    );
  });
  it('presence and value', () => {
    const request = requestDouble({ path: '/p?a=1&b' });
    const judge = (matcher: Parameters<typeof compileQueryParameterMatcher>[0]) =>
      compileQueryParameterMatcher(matcher, '')(request);
    expect(judge({ name: 'b' })).toBe(true);
    expect(judge({ name: 'c', presentMatch: true })).toBe(false);
    expect(judge({ name: 'a', stringMatch: { exact: '1' } })).toBe(true);
    expect(judge({ name: 'c', stringMatch: { exact: '' } })).toBe(false);
  });
});
