/** Plain technical English, for the folders that are clean. A cleaned folder is added to `CLEAN`. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { outputOf } from './kit/process.ts';

const root = resolve(fileURLToPath(import.meta.url), '../..');

/** Git's pathspecs of the files that are checked. */
const CLEAN: readonly string[] = [
  ':(glob)shared/**',
  ':(glob)control/**',
  ':(glob)edge-proxy/**',
  ':(glob)machine/**',
  ':(glob)deploy/**',
  ':(glob)tests/**',
  ':(glob)docs/**',
  ':(glob)*.md',
];

/** Each with what to write instead. */
const BANNED: readonly { readonly words: RegExp; readonly instead: string }[] = [
  { words: /\bwhoever\b/i, instead: 'name the subject' },
  { words: /\bnobody\b/i, instead: 'name the subject, or "no client", "anonymous"' },
  { words: /\banew\b/i, instead: 'again' },
  { words: /\btold\b/i, instead: 'reported, sent, configured' },
  { words: /\bhears? of\b/i, instead: 'receives' },
  { words: /\bgo(es)? on\b/i, instead: 'continue' },
  { words: /\bwhat is gone\b/i, instead: 'name what was removed' },
  {
    words: /\bstands? (twice|for|before|behind|beside|alone|in)\b/i,
    instead: 'is set twice, means, precedes, follows',
  },
  { words: /\b(is|are) theirs\b/i, instead: 'name the owner' },
  { words: /\bfor ever\b/i, instead: 'no limit, without end' },
  { words: /^(<{7}|>{7}) /, instead: 'keep one side of the merge' },
];

/** The banned words themselves. */
const EXCEPT: ReadonlySet<string> = new Set(['docs/glossary.md', 'tests/words.test.ts']);

function expand(pattern: string): string[] {
  const group = /\{([^}]*)\}/.exec(pattern);
  return group ? group[1]!.split(',').map((one) => pattern.replace(group[0], one)) : [pattern];
}

/** `path:line: "words"`, for each banned phrase. */
function findings(path: string, text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, i) =>
      BANNED.filter(({ words }) => words.test(line)).map(
        ({ words, instead }) => `${path}:${i + 1}: "${words.exec(line)![0]}": ${instead}`,
      ),
    );
}

const listed = outputOf('git', ['ls-files', '-z', '--', ...CLEAN.flatMap(expand)]);
const files = listed.split('\0').filter((path) => /\.(ts|mjs|md)$/.test(path) && !EXCEPT.has(path));

it('finds the words it looks for', () => {
  expect(findings('a.ts', '// nobody asks\nconst a = 1;\n// chosen anew')).toEqual([
    'a.ts:1: "nobody": name the subject, or "no client", "anonymous"',
    'a.ts:3: "anew": again',
  ]);
  expect(files.length).toBeGreaterThan(200);
});

it('clean folders have none of the banned words', () => {
  expect(files.flatMap((path) => findings(path, readFileSync(resolve(root, path), 'utf8')))).toEqual([]);
});
