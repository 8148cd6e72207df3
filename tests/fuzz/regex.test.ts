/** Our regular expressions against the real RE2 (PyPI `google-re2`): the same verdict on a pattern, the same matches. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileRegex, type Regex, RegexError } from '../../shared/match/regex.ts';
import { ROOT } from '../kit/environment.ts';
import { askPython, pythonHas } from '../kit/python.ts';
import { Random, runsFactor, seed } from './random.ts';
import { generate, textsFor } from './regex-generator.ts';

const present = pythonHas('google-re2', 're2', 're2.compile("a").programsize');

const ROUNDS = 5;
const PATTERNS = 1000;
const TEXTS = 22;

interface Case {
  pattern: string;
  inputs: string[];
}
type Answer =
  | { ok: true; size: number; matches: boolean[]; spans: ([number, number] | null)[] }
  | { ok: false; error: string };

const ask = (cases: readonly Case[]) => askPython<Answer>([join(ROOT, 'tests/fuzz/re2-oracle.py')], cases);

/** Offsets count UTF-16 units here, characters there. */
function span(regex: Regex, text: string): [number, number] | null {
  const found = regex.find(text);
  const characters = (end: number) => [...text.slice(0, end)].length;
  return found ? [characters(found.start), characters(found.end)] : null;
}

/** The two corners of `find` that `Regex` names: what is inside a character, and loops over an empty alternative. */
function isCorner(pattern: string, text: string): boolean {
  const withinCharacters = pattern.includes('\\B') && /[^\x00-\x7f]/.test(text);
  return withinCharacters || (/\|\||\(\||\|\)|[:>]\||^\||\|$/.test(pattern) && /\)[*+{]/.test(pattern));
}

describe.skipIf(!present)('RE2', () => {
  it('agrees on every pattern and every match', async () => {
    console.log(`regex fuzz: TULLE_FUZZ_SEED=${seed}, ${ROUNDS * runsFactor * PATTERNS * TEXTS} pairs`);
    const differences: unknown[] = [];
    const count = { pairs: 0, accepted: 0, refused: 0, matched: 0 };
    for (let round = 0; round < ROUNDS * runsFactor && differences.length === 0; round++) {
      const random = new Random(seed + round);
      const cases = Array.from({ length: PATTERNS }, (): Case => {
        const made = generate(random);
        return { pattern: made.pattern, inputs: textsFor(random, made, TEXTS) };
      });
      const answers = await ask(cases);
      expect(answers).toHaveLength(PATTERNS);
      for (const [i, { pattern, inputs }] of cases.entries()) compare(pattern, inputs, answers[i]!, count, differences);
    }
    console.log(`regex fuzz: ${JSON.stringify(count)}`);
    expect(differences.slice(0, 10)).toEqual([]);
    expect(count.pairs).toBeGreaterThan(ROUNDS * PATTERNS * TEXTS * 0.99);
    // The generator earns its keep: most patterns compile, many do not, a good part of the texts match.
    expect(Math.min(count.refused * 20, count.accepted, count.matched)).toBeGreaterThan(3000);
  });
});

function compare(
  pattern: string,
  inputs: readonly string[],
  answer: Answer,
  count: { pairs: number; accepted: number; refused: number; matched: number },
  differences: unknown[],
): void {
  count.pairs += inputs.length;
  let regex: Regex;
  try {
    regex = compileRegex(pattern);
  } catch (error) {
    if (!(error instanceof RegexError)) throw error;
    count.refused++;
    // RE2 has \C, one byte: matching by bytes is nothing that text here could answer, so it is refused by name.
    const known = error.message.includes('(\\C)');
    if (answer.ok && !known) differences.push({ pattern, theirs: 'accepted', ours: error.message });
    return;
  }
  count.accepted++;
  if (!answer.ok) {
    differences.push({ pattern, theirs: answer.error, ours: 'accepted' });
    return;
  }
  for (const [i, text] of inputs.entries()) {
    const matches = regex.matches(text);
    if (matches) count.matched++;
    if (matches !== answer.matches[i]) differences.push({ pattern, text, theirs: answer.matches[i], ours: matches });
    if (isCorner(pattern, text)) continue;
    const [theirs, ours] = [answer.spans[i], span(regex, text)];
    if (JSON.stringify(theirs) !== JSON.stringify(ours)) differences.push({ pattern, text, theirs, ours });
  }
}
