import fc from 'fast-check';
import { expect, it } from 'vitest';
import { textOfWire, wireText } from './wire.ts';

it('text goes to bytes and back', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'é', '☺', '𝒳', '\u0000', '\ufeff') }), (text) => {
      const wire = wireText(text);
      expect(wire).toMatch(/^[\u0000-\u00ff]*$/);
      expect(wire).toBe(Buffer.from(text, 'utf8').toString('latin1'));
      expect(textOfWire(wire)).toBe(text);
    }),
  );
});

it.each(['\u00ff', 'a\u00c3', '\u00c0\u00af', '\u00ed\u00a0\u0080', '☺'])('%j is no UTF-8', (wire) =>
  expect(textOfWire(wire)).toBeUndefined(),
);
