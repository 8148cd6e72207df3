import { expect, it } from 'vitest';
import { readWarnings, warningHeader } from './warning-header.ts';

it('what is written is read, from one header or several', () => {
  const written = [
    { path: 'spec.a', message: 'say "x\\y", or 299 - z' },
    { path: '', message: 'caf\u00e9' },
  ].map((violation) => warningHeader({ ...violation, rule: 'r' }));
  expect(written[0]).toBe('299 - "spec.a: say \\"x\\\\y\\", or 299 - z"');
  expect(readWarnings(written.join(', '))).toEqual(['spec.a: say "x\\y", or 299 - z', 'caf?']);
  expect(readWarnings('')).toEqual([]);
  expect(readWarnings('199 - "other"')).toEqual([]);
});
