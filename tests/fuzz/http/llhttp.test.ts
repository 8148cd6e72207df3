/**
 * The proxy's HTTP/1.1 parsers against llhttp in strict mode: it refuses what llhttp refuses, frames what it takes
 * alike, and does both wherever the bytes are cut. `TULLE_FUZZ=10000000` compares that many samples instead of a
 * million, `TULLE_FUZZ_SEED=random` other ones than the last time; a difference prints its seed.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compare, run } from './compare.ts';
import type { Sample } from './generate.ts';
import { seeded } from './random.ts';

const COUNT = Number(process.env['TULLE_FUZZ'] ?? 1_000_000);
const SEED = process.env['TULLE_FUZZ_SEED'];
/** A tenth of what quiet machines do. */
const PER_SECOND = 3000;

type Regression = Sample & { why: string };
const regressions = JSON.parse(
  readFileSync(new URL('./regressions.json', import.meta.url), 'utf8'),
) as readonly Regression[];

describe('against llhttp', () => {
  it.each(regressions)('once different: $why ($side $text)', (given) => {
    for (let seed = 0; seed < 50; seed++) expect(compare(given, seeded(seed)).difference).toBeUndefined();
  });

  it(
    `agrees on ${COUNT} generated and mutated messages`,
    () => {
      const from = SEED === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(SEED ?? 1);
      const progress = COUNT > 1_000_000 ? (done: number) => console.log(`${done} of ${COUNT}`) : undefined;
      const result = run(from, COUNT, progress);
      expect(result.differences).toEqual([]);
      expect(result.samples).toBe(COUNT);
      // The comparison must have had something to compare.
      expect(result.accepted).toBeGreaterThan(COUNT / 4);
    },
    Math.max(120_000, (COUNT / PER_SECOND) * 1000),
  );
});
