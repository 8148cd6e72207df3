/** Real configuration put to our schemas; Istio's validation cases are in reference-cases.test.ts, its CRDs in description.test.ts. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { validate } from './index.ts';
import { parseDocuments } from './read/parse.ts';

const reference = fileURLToPath(new URL('../../../shared/reference/', import.meta.url));
const present = existsSync(reference);
if (!present) console.log('skipped: the reference data is not here');

function yamlFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ya?ml$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Documents that istiod refused when the golden files were made, by case. */
function rejected(folder: string): Set<number> {
  const xds = join(folder, 'xds');
  const indices = new Set<number>();
  for (const name of existsSync(xds) ? readdirSync(xds) : []) {
    const { rejected: list = [] } = JSON.parse(readFileSync(join(xds, name), 'utf8')) as {
      rejected?: { document: string }[];
    };
    for (const each of list) indices.add(Number(each.document));
  }
  return indices;
}

describe.skipIf(!present)('real configuration is accepted whole', () => {
  /** `name: off`: a boolean in the YAML 1.1 of kubectl, which refuses it too. */
  const YAML_11 = ['ef-network-filter', 'telemetry-access-log-disable', 'telemetry-metrics-disable'];
  const violationsIn = (file: string, skip: ReadonlySet<number> = new Set()) => {
    const { documents, errors } = parseDocuments(readFileSync(file, 'utf8'), file);
    expect(errors).toEqual([]);
    return documents.flatMap((document, i) => {
      const result = validate(document.value);
      if (skip.has(i) || result.violations[0]?.rule === 'unknown-kind') return [];
      return result.violations.map((violation) => `${file}:${document.line} ${violation.path}: ${violation.message}`);
    });
  };

  it('the samples', () => {
    const files = yamlFiles(join(reference, 'samples'));
    expect(files.length).toBeGreaterThan(20);
    expect(files.flatMap((file) => violationsIn(file))).toEqual([]);
  });

  it("istiod's golden cases, but for what istiod itself refused", () => {
    const cases = readdirSync(join(reference, 'istiod-golden/cases'));
    expect(cases.length).toBeGreaterThan(80);
    const violations = cases.flatMap((name) => {
      const folder = join(reference, 'istiod-golden/cases', name);
      const found = violationsIn(join(folder, 'config.yaml'), rejected(folder));
      if (!YAML_11.includes(name)) return found;
      return found.filter((violation) => !violation.endsWith('metadata.name: must be a string, not a boolean'));
    });
    expect(violations).toEqual([]);
  });
});
