import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { runSync } from '../../../tests/kit/process.ts';
import { lineDiff } from './line-diff.ts';

it('shows changed lines with three lines around them', () => {
  const before = `${Array.from({ length: 12 }, (_, at) => `l${at}`).join('\n')}\n`;
  const after = before.replace('l5\n', 'x\ny\n').replace('l11\n', '');
  expect(lineDiff(before, after)).toBe(
    '@@ -3,10 +3,10 @@\n l2\n l3\n l4\n-l5\n+x\n+y\n l6\n l7\n l8\n l9\n l10\n-l11\n',
  );
  expect(lineDiff(before, before)).toBe('');
  expect(lineDiff('', 'a\n')).toBe('@@ -0,0 +1,1 @@\n+a\n');
});

it('gives what patch turns the one text into the other with', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-diff-'));
  const text = fc
    .array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 30 })
    .map((all) => all.map((one) => `${one}\n`).join(''));
  try {
    fc.assert(
      fc.property(text, text, (before, after) => {
        const diff = lineDiff(before, after);
        if (before === after) return diff === '';
        const file = join(folder, 'text');
        writeFileSync(file, before);
        const { code } = runSync('patch', ['-s', '-o', `${file}.out`, file], { input: `--- a\n+++ b\n${diff}` });
        const { out } = runSync('cat', [`${file}.out`]);
        return code === 0 && out === after;
      }),
      { numRuns: 40 },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
