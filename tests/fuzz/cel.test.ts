/** The CRDs' rules as code against their own expressions, evaluated by a real CEL (PyPI `cel-python`). */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type RuleCase, ruleCases } from '../../shared/resources/schema/rules/rule-cases.ts';
import { withRules } from '../../shared/resources/schema/vocabulary.ts';
import { ROOT } from '../kit/environment.ts';
import { askPython, pythonHas } from '../kit/python.ts';
import { Random, runsFactor, seed } from './random.ts';

const present = pythonHas('cel-python', 'celpy');

const VALUES = 150;
/** Of Kubernetes' own URL library, which no CEL outside has. */
const isOfUrls = (expression: string) => /\b(url|isURL)\(/.test(expression);

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

describe.skipIf(!present)('CEL', () => {
  it('refuses what our rules refuse, and nothing else', async () => {
    const random = new Random(seed);
    const asked = ruleCases.flatMap((each) =>
      each.expressions
        .filter((expression) => !isOfUrls(expression))
        .map((expression) => ({ each, expression, values: valuesFor(random, each) })),
    );
    const left = ruleCases.filter(({ expressions }) => expressions.every(isOfUrls)).map(({ rule }) => rule.name);
    const answers = await ask(asked);
    const count = { accepted: 0, refused: 0 };
    const differences = asked.flatMap(({ each, expression, values }, i) => {
      const schema = withRules(z.unknown(), each.rule as never);
      return values.flatMap((value, j) => {
        const theirs = answers[i]?.holds[j];
        const ours = schema.safeParse(value).success;
        count[ours ? 'accepted' : 'refused']++;
        return ours === theirs ? [] : [{ rule: each.rule.name, expression, value, ours, theirs }];
      });
    });
    console.log(`CEL: ${asked.length} expressions, ${count.accepted} values accepted, ${count.refused} refused alike`);
    console.log(`CEL: not compared: ${left.join(', ')} (Kubernetes' URL functions)`);
    expect(differences).toEqual([]);
    expect(left).toHaveLength(2);
    expect(Math.min(count.accepted, count.refused)).toBeGreaterThan(500);
  });
});

const ask = (cases: readonly { expression: string; values: readonly Json[] }[]) =>
  askPython<{ holds: boolean[] }>([join(ROOT, 'tests/fuzz/cel-oracle.py')], cases);

/** The rule's own cases, and others made of them with the same types in the same places. */
function valuesFor(random: Random, { accepts, refuses }: RuleCase): Json[] {
  const own = [...accepts, ...refuses] as Json[];
  const made = Array.from({ length: VALUES * runsFactor }, () => {
    let value = random.pick(own);
    for (let i = random.below(3); i >= 0; i--) value = mutated(random, value, random.pick(own));
    return value;
  });
  return [...own, ...made];
}

const isMap = (value: Json): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function mutated(random: Random, value: Json, other: Json): Json {
  if (typeof value === 'string') return text(random, value, typeof other === 'string' ? other : '');
  if (typeof value === 'number') return random.pick([value - 1, value + 1, value * 2, 0, 65535, 65536]);
  if (Array.isArray(value)) {
    const more = Array.isArray(other) ? other : [];
    const list = [...value, ...more].filter(() => random.chance(0.7));
    // Entries are messages whose fields the schema asks for: only their values change.
    return list.map((each) => (isMap(each) ? valuesChanged(random, each) : mutated(random, each, each)));
  }
  if (!isMap(value)) return value;
  const fields = Object.entries({ ...value, ...(isMap(other) ? other : {}) }).filter(() => random.chance(0.75));
  return Object.fromEntries(
    fields.map(([key, field]) => [renamed(random, key), random.chance(0.3) ? mutated(random, field, field) : field]),
  );
}

function valuesChanged(random: Random, value: { [key: string]: Json }): Json {
  const change = (field: Json) => (random.chance(0.3) ? mutated(random, field, field) : field);
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, change(field)]));
}

/** Keys are data where the rule is about keys: names of fields mean nothing once changed, in CEL and here. */
const renamed = (random: Random, key: string) => (random.chance(0.1) ? text(random, key, '') : key);

/** No text that Python reads as a number and Go does not (`1_0`), nor the reverse. */
const PIECES = ['', '*', '-', '.', '/', '@', 'a', 'Z', '7', '0', 'unix://', 'HTTP', 'UPSERT', 'DNS', 'a'.repeat(60)];

function text(random: Random, value: string, other: string): string {
  const at = random.below(value.length + 1);
  const until = at + random.below(3);
  return random.chance(0.2) ? other : value.slice(0, at) + random.pick(PIECES) + value.slice(until);
}
