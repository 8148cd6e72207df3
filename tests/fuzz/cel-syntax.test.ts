/** What has the form of a CEL expression, against the parser of a real CEL (PyPI `cel-python`). */
import { describe, expect, it } from 'vitest';
import { celViolation } from '../../shared/match/cel-syntax.ts';
import { askPython, pythonHas } from '../kit/python.ts';
import { Random, runsFactor, seed } from './random.ts';

const present = pythonHas('cel-python', 'celpy');

const TEXTS = 1500;
/** One JSON text a line in, 1 or 0 a line out. */
const ORACLE = `
import json, sys, celpy.celparser as p
parser = p.CELParser()
for line in sys.stdin:
    try:
        parser.parse(json.loads(line))
        print(1)
    except p.CELParseError:
        print(0)
`;

const ask = async (texts: readonly string[]): Promise<boolean[]> =>
  (await askPython<number>(['-c', ORACLE], texts)).map((verdict) => verdict === 1);

const LEAVES = ['a', 'response.code', 'request.headers["x-a"]', '1', '2.5', '0x1F', '3u', "'t'", '"q"', 'true', 'null'];
const BINARY = ['||', '&&', '==', '!=', '<', '<=', '>', '>=', 'in', '+', '-', '*', '/', '%'];

function expression(random: Random, depth: number): string {
  const next = () => expression(random, depth - 1);
  if (depth === 0) return random.pick(LEAVES);
  switch (random.below(10)) {
    case 0:
      return `${next()} ? ${next()} : ${next()}`;
    case 1:
      return `(${next()})`;
    case 2:
      return `!(${next()})`;
    case 3:
      return `[${next()}, ${next()}]`;
    case 4:
      return `{${next()}: ${next()}}`;
    case 5:
      return `has(${next()})`;
    case 6:
      return `a.startsWith(${next()})`;
    case 7:
      return `pkg.Type{field: ${next()}}`;
    default:
      return `${next()} ${random.pick(BINARY)} ${next()}`;
  }
}

const PIECES = [
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  '.',
  ',',
  ':',
  '?',
  '!',
  '-',
  '&&',
  '=',
  '"',
  "'",
  'in',
  ' ',
  '1',
  'a',
  '==',
];

function mutated(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  return text.slice(0, at) + (random.chance(0.5) ? random.pick(PIECES) : '') + text.slice(at + random.below(3));
}

/** Where cel-python's grammar differs from langdef.md and from cel-go, which Istio uses. */
const QUIRKS = [
  /\bas\b/, // a reserved word as a name
  /(^|[^\w"')\]}\s])\s*in\b/, // `in` as a name
  /\bin\w/, // `in` glued to what follows
  /\d\.(?!\d)/, // `2.` as a number
  /,\s*\]/, // no comma at the end of a list
  /[-!]\s*[-!]/, // `-!a`, and `--a` by another precedence
  /\d[A-Za-z_]/, // a name right behind a number
  /[\d"')\]]\s*\{/, // fields on what is no type
];

describe.skipIf(!present)('the form of CEL', () => {
  it('is judged as a real CEL judges it', async () => {
    const random = new Random(seed);
    const made = Array.from({ length: TEXTS * runsFactor }, (_, i) => {
      const text = expression(random, random.below(4));
      return i % 3 === 0 ? text : mutated(random, i % 3 === 1 ? text : mutated(random, text));
    });
    const texts = made.filter((text) => !QUIRKS.some((quirk) => quirk.test(text)));
    const theirs = await ask(texts);
    const accepted = theirs.filter(Boolean).length;
    const differences = texts.flatMap((text, i) => {
      const violation = celViolation(text);
      return (violation === undefined) === theirs[i] ? [] : [{ text, violation, theirs: theirs[i] }];
    });
    console.log(`CEL syntax: ${accepted} accepted, ${texts.length - accepted} refused`);
    expect(differences).toEqual([]);
    expect(Math.min(accepted, texts.length - accepted)).toBeGreaterThan(300);
  });
});
