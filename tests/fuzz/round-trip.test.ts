/** Every kind, made from its description: the schema accepts it, and writing and reading changes nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kinds, validate } from '../../shared/resources/index.ts';
import { parseDocuments } from '../../shared/resources/read/parse.ts';
import { writeYaml } from '../../shared/resources/yaml/write.ts';
import { resourceOf } from './arbitrary.ts';
import { runsFactor, seed } from './random.ts';

const RUNS = 60 * runsFactor;
const options = { seed, numRuns: RUNS, endOnFailure: true };
console.log(`round trip: TULLE_FUZZ_SEED=${seed}, ${RUNS} resources of each of ${kinds.length} kinds`);

describe.each(kinds.map((kind) => [kind.kind, kind] as const))('%s', (_, kind) => {
  it('is accepted by its schema, and survives JSON and YAML', () => {
    let accepted = 0;
    fc.assert(
      fc.property(resourceOf(kind), (resource) => {
        const { apiVersion: _v, kind: _k, metadata: _m, ...body } = resource;
        expect(kind.body.safeParse(body).error?.issues ?? []).toEqual([]);
        const judged = validate(resource);
        if (judged.violations.length === 0) accepted++;
        for (const text of [writeYaml(resource), JSON.stringify(resource), JSON.stringify(resource, null, 2)]) {
          const { documents, errors } = parseDocuments(text);
          expect(errors).toEqual([]);
          expect(documents.map(({ value }) => value)).toEqual([resource]);
        }
        // What was understood is written and understood again.
        const { resource: kept } = judged;
        if (kept) expect(validate(parseDocuments(writeYaml(kept)).documents[0]?.value)).toEqual(judged);
      }),
      options,
    );
    // Rules beyond the schema refuse many; where they refused all, the property would speak of little.
    expect(accepted).toBeGreaterThan(0);
  });
});
