/** `tulle validate` gives the result of `istioctl validate` for every reference configuration: accepted, refused, warned. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { validateSources } from './validate.ts';

const OURS: ReadonlySet<string> = new Set(['duplicate-object', 'foreign-kind', 'not-compiled', 'no-effect']);

const golden = fileURLToPath(new URL('../../../shared/reference/istiod-golden/', import.meta.url));
const present = existsSync(golden);
if (!present) console.log('skipped: the reference data is not here');

/** Cases where Tulle is stricter than istioctl, as kubectl is. */
const STRICTER: Readonly<Record<string, string>> = {
  'faults/unknown-kind': 'istioctl ignores unknown kinds',
  'faults/unknown-version': 'istioctl ignores unknown versions',
  'cases/ef-network-filter': '`name: off` is a boolean in YAML 1.1',
  'cases/telemetry-access-log-disable': '`name: off` is a boolean in YAML 1.1',
  'cases/telemetry-metrics-disable': '`name: off` is a boolean in YAML 1.1',
};

describe.skipIf(!present)('as istioctl validate', () => {
  it.each(['faults', 'cases'])('%s', async (part) => {
    const names = readdirSync(`${golden}${part}`);
    const different: unknown[] = [];
    for (const name of names) {
      const folder = `${golden}${part}/${name}`;
      const { validate } = JSON.parse(readFileSync(`${folder}/analyze.json`, 'utf8')) as {
        validate: { exit: number; stderr: string };
      };
      const { valid, resources } = await validateSources({ paths: [`${folder}/config.yaml`], recursive: true });
      const own = resources.flatMap((resource) => resource.warnings);
      // Only Tulle has these: about the files, and about unsupported features.
      const warnings = own.filter(({ rule }) => !OURS.has(rule));
      const ours = { valid, warned: warnings.length > 0 };
      const theirs = { valid: validate.exit === 0, warned: validate.stderr.includes('has warnings') };
      if (JSON.stringify(ours) === JSON.stringify(theirs) || `${part}/${name}` in STRICTER) continue;
      different.push({
        name,
        ours,
        theirs: validate.stderr,
        violations: resources.flatMap((each) => each.violations),
        warnings,
      });
    }
    console.log(`istioctl validate, ${part}: ${names.length - different.length} of ${names.length}`);
    expect(different).toEqual([]);
    expect(names.length).toBeGreaterThan(40);
  });
});
