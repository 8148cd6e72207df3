import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { percentDecoded, percentEncoded } from './percent.ts';

describe('grpc-message', () => {
  it.each([
    ['no healthy upstream', 'no healthy upstream'],
    ['100%', '100%25'],
    ['a~b', 'a%7Eb'],
    ['z\u00fcrich\n', 'z%C3%BCrich%0A'],
    ['\u20ac', '%E2%82%AC'],
    ['', ''],
  ])('%j is sent as %j', (text, encoded) => expect(percentEncoded(text)).toBe(encoded));

  it('is what it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const encoded = percentEncoded(text);
        expect(encoded).toMatch(/^[ -}]*$/);
        expect(percentDecoded(encoded)).toBe(text);
      }),
    );
  });

  it.each([
    ['%', '%'],
    ['%4', '%4'],
    ['%zz%41', '%zzA'],
    ['%%41', '%A'],
  ])('%s is read as far as it can be: %s', (text, decoded) => expect(percentDecoded(text)).toBe(decoded));
});
