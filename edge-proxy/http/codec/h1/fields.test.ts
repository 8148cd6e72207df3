import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFields } from './fields.ts';

const parse = (names: readonly string[]) => {
  const head = names.map((name) => `${name}: v\r\n`).join('');
  return parseFields(head, 0, head.length, 100);
};

describe('names of fields', () => {
  it('are as received, and their keys in lower case, also where names that were seen before are like them', () => {
    // Few letters: many names have the length and the ends of another.
    const name = fc.string({ unit: fc.constantFrom('a', 'A', 'b', 'B', '-'), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.array(name, { maxLength: 12 }), (names) => {
        const { names: kept, keys } = parse(names);
        expect(kept).toEqual(names);
        expect(keys).toEqual(names.map((each) => each.toLowerCase()));
      }),
    );
  });

  it('are refused where one that was seen before differs in one character', () => {
    parse(['x-name-1']);
    for (const bad of ['x-na e-1', 'x-na\te-1', 'x-na(e-1', 'x-na\u00e4e-1'])
      expect(() => parse([bad]), bad).toThrow('field name');
    expect(() => parse([''])).toThrow('field name');
  });

  it('longer than names are kept are read as well', () => {
    const name = `X-${'a'.repeat(200)}`;
    for (let i = 0; i < 2; i++) expect(parse([name]).keys).toEqual([name.toLowerCase()]);
  });
});
