/** The short way says nothing that the whole parser would not say. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SourceDocument } from './faults.ts';
import { readPlain } from './plain.ts';
import { readWhole, readYaml } from './yaml.ts';

const reference = fileURLToPath(new URL('../../../../shared/reference/', import.meta.url));
const present = existsSync(reference);
if (!present) console.log('skipped: the reference data is not here');

const shown = ({ value, faults, contentStart }: SourceDocument) => ({ value, faults, contentStart });
/** Of a document without content both say nothing. */
const all = (documents: Iterable<SourceDocument>) =>
  [...documents].filter(({ value, faults }) => value !== undefined || faults.length > 0).map(shown);

/** The whole parser on the text alone: the short way must have said the same. */
function compare(text: string): boolean {
  const plain = readPlain(text, 0, text.length);
  if (!plain) return false;
  expect(all([plain])).toEqual(all(readWhole(text)));
  return true;
}

describe.skipIf(!present)('files as people write them', () => {
  const files = !present
    ? []
    : readdirSync(reference, { recursive: true, withFileTypes: true })
        .filter(
          (entry) =>
            entry.isFile() && entry.name.endsWith('.yaml') && !/crd|golden/.test(entry.parentPath + entry.name),
        )
        .map((entry) => join(entry.parentPath, entry.name));
  it('read alike, most documents the short way', () => {
    let documents = 0;
    let short = 0;
    for (const file of files.filter((_, i) => i % 3 === 0)) {
      const text = readFileSync(file, 'utf8');
      if (text.length > 200_000) continue;
      const found = all(readYaml(text));
      expect(found, file).toEqual(all(readWhole(text)));
      for (const part of text.split(/^(?=---\s)/m)) {
        documents++;
        if (compare(part)) short++;
      }
    }
    console.log(`${short} of ${documents} reference documents are read the short way`);
    expect(short).toBeGreaterThan(documents / 2);
  });
});

describe('lines by chance', () => {
  const indent = fc.constantFrom('', '', '  ', '  ', '    ', ' ', '- ', '  - ', '-   ', '- - ', '    - ');
  const key = fc.constantFrom(
    'a: ',
    'b: ',
    'c:',
    'd:',
    '"e f": ',
    "'g': ",
    'y: ',
    'a.b/c: ',
    '80: ',
    'h : ',
    'k:v',
    '',
  );
  const value = fc.constantFrom(
    ...[
      '',
      '',
      '1',
      'x',
      'a b',
      "it's",
      '"q"',
      '"q" # c',
      '"\\n\\u0041"',
      '"a\\/\\x41"',
      "'it''s'",
      "'",
      '"',
      '-',
      '- x',
      '-1',
      '--',
      '0777',
      '.5',
    ],
    ...[
      'on',
      '~',
      'null',
      '.inf',
      'a:b',
      'a: b',
      'a:',
      'a #c',
      'a#c',
      '#c',
      '[]',
      '[ ]',
      '{}',
      '[a, 1, "x"]',
      '[a,]',
      '[a, [b]]',
      '[a',
      '{a: 1}',
      '[*]',
    ],
    ...[
      '*',
      '&a',
      '*a',
      '!x y',
      '|',
      '>',
      '%',
      '@',
      '`',
      '?',
      '? a',
      ':',
      ',',
      '<<',
      '\u00a0',
      '[\u00a0a]',
      'é',
      '2001-12-14',
      '1:30',
      'http://x/y',
      '...',
      '---',
    ],
  );
  const line = fc.oneof(
    {
      weight: 12,
      arbitrary: fc.tuple(indent, key, value, fc.constantFrom('', '', '', ' ', '  # c')).map((parts) => parts.join('')),
    },
    fc.constantFrom('', '  ', '# c', '   # c', '---', '--- # c', '--- a', '...', '\t', 'a:\tb'),
  );
  it('read alike', () => {
    let short = 0;
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.boolean(), (lines, ended) => {
        const text = lines.join('\n') + (ended ? '\n' : '');
        if (compare(text)) short++;
      }),
      { numRuns: 20_000 },
    );
    expect(short).toBeGreaterThan(500);
  });
});
