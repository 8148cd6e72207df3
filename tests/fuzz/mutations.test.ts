/** Any JSON value at any place of a resource: violations with paths, never an exception. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kinds, validate } from '../../shared/resources/index.ts';
import { withoutUnknownFields } from '../../shared/resources/read/unknown-fields.ts';
import { parsePath } from '../../shared/resources/yaml/locate.ts';
import { resourceOf } from './arbitrary.ts';
import { Random, runsFactor, seed } from './random.ts';

const TOTAL = 105_000 * runsFactor;
const BASES = 40;
const PER_KIND = Math.ceil(TOTAL / kinds.length);

type Json = Record<string, unknown>;

const ODD: readonly (() => unknown)[] = [
  () => null,
  () => true,
  () => 0,
  () => -1,
  () => 1.5,
  () => 1e308,
  () => 4_294_967_296,
  () => '',
  () => ' ',
  () => '*',
  () => '**',
  () => '/',
  () => '0',
  () => '1s',
  () => '-1s',
  () => 'a'.repeat(5000),
  () => '\u0000',
  () => '\ud800',
  () => '☺.example.com',
  () => '(',
  () => '(?=a)',
  () => '{*}',
  () => '{**}/{*}',
  () => '10.0.0.0/99',
  () => '::ffff:10.0.0.1/8',
  () => '%LOCAL%',
  () => 'spiffe://',
  () => '-----BEGIN CERTIFICATE-----',
  () => 'http://[',
  () => '__proto__',
  () => [],
  () => {},
  () => [null],
  () => [[]],
  () => [{}],
  () => ['', ''],
  () => ({}),
  () => ({ '': null }),
  () => ({ length: 3 }),
  () => ({ constructor: {}, toString: 1 }),
  () => JSON.parse('{"__proto__":{"hosts":1}}') as unknown,
  () => ({ exact: '', prefix: '', regex: '' }),
  () => Array.from({ length: 300 }, (_, i) => ({ name: `n${i}` })),
  () => nested(150),
];

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

interface Place {
  holder: Json | unknown[];
  key: string | number;
}

function placesOf(value: unknown, places: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null) return places;
  for (const key of Object.keys(value)) {
    const holder = value as Json;
    places.push(Array.isArray(value) ? { holder: value, key: Number(key) } : { holder, key });
    placesOf(holder[key], places);
  }
  return places;
}

/** One change somewhere in the resource. */
function mutate(random: Random, resource: Json): void {
  const places = placesOf(resource);
  if (places.length === 0) return;
  const { holder, key } = random.pick(places);
  const at = holder as Json;
  const value = at[key];
  const other = random.pick(places);
  switch (random.below(9)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete at[key];
      break;
    case 1:
      at[key] = structuredClone((other.holder as Json)[other.key]);
      break;
    case 2:
      at[key] = [value, structuredClone(value)];
      break;
    case 3:
      at[key] = { [random.pick(['a', 'exact', 'value', 'spec'])]: value };
      break;
    case 4:
      if (Array.isArray(holder)) holder.push(structuredClone(value));
      else at[`${key}${random.pick(['s', '', '_', '.', ' '])}x`] = value;
      break;
    case 5:
      if (typeof value === 'string') at[key] = damaged(random, value);
      else at[key] = JSON.stringify(value);
      break;
    default:
      at[key] = random.pick(ODD)();
  }
}

function damaged(random: Random, text: string): string {
  const cut = random.below(text.length + 1);
  const piece = random.pick(['*', '.', '/', ':', '-', '(', '[', '{*}', '%', ' ', '\n', '\u0000', 'é', '0', '']);
  return text.slice(0, cut) + piece + text.slice(cut + random.below(2));
}

function judge(resource: unknown): number {
  const { violations, warnings, resource: accepted } = validate(resource);
  for (const violation of [...violations, ...warnings]) {
    if (typeof violation.path !== 'string' || violation.message === '' || violation.rule === '')
      throw new Error('a violation says nothing');
    if (violation.message.includes('[object Object]'))
      throw new Error(`a message shows an object: ${violation.message}`);
  }
  if ((accepted === undefined) !== violations.length > 0) throw new Error('neither violations nor a resource, or both');
  for (const { path, rule } of violations) if (rule === 'unknown-field') mustLead(resource, path);
  return violations.length;
}

/** The path of an unknown field leads to it. */
function mustLead(resource: unknown, path: string): void {
  let at = resource;
  for (const step of parsePath(path)) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) throw new Error(`${path} leads nowhere`);
    at = (at as Json)[step];
  }
}

console.log(`mutations: TULLE_FUZZ_SEED=${seed}, ${PER_KIND} resources of each of ${kinds.length} kinds`);

describe('mutated resources', () => {
  it.each(kinds.map((kind) => [kind.kind, kind] as const))('%s', (_, kind) => {
    const bases = fc.sample(resourceOf(kind), { seed, numRuns: BASES });
    const random = new Random(seed);
    let faulty = 0;
    for (let run = 0; run < PER_KIND; run++) {
      const resource = structuredClone(random.pick(bases));
      for (let changes = 1 + random.below(3); changes > 0; changes--) mutate(random, resource);
      try {
        if (judge(resource) > 0) faulty++;
        if (run % 10 === 0) withoutUnknownFields(kind, resource);
      } catch (error) {
        const shown = JSON.stringify(resource).slice(0, 4000);
        throw new Error(`run ${run}: ${(error as Error).stack ?? String(error)}\nresource: ${shown}`);
      }
    }
    expect(faulty).toBeGreaterThan(PER_KIND / 4);
  });

  it('no object at all', () => {
    for (const odd of ODD) expect(validate(odd()).violations.length).toBeGreaterThan(0);
  });
});
