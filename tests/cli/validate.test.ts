/** `tulle validate` as a user runs it; over the samples and configurations of Istio's own tests: all of it is accepted. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ValidateReport } from '../../control/cli/validate.ts';
import { tulle } from '../kit/command.ts';
import { REFERENCE, temporaryFolder } from '../kit/environment.ts';

const present = existsSync(REFERENCE);
if (!present) console.warn('skipped: the reference data is not here');

/** The exit code and the report. */
async function validated(path: string): Promise<[number, ValidateReport]> {
  const { code, out } = await tulle(['validate', '-R', '-f', path, '-o', 'json']);
  return [code, JSON.parse(out) as ValidateReport];
}

describe('the exit code', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.dispose());

  it.each([
    ['good', 'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ port: 80 }] }\n', 0],
    ['violation', 'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { prots: [] }\n', 1],
    ['broken', 'a: 1\na: 2\n', 1],
  ])('of a file with %s content', async (name, text, wanted) => {
    const file = join(folder.path, `${name}.yaml`);
    writeFileSync(file, text);
    const [code, { valid }] = await validated(file);
    expect([code, valid]).toEqual([wanted, wanted === 0]);
  });
});

describe.skipIf(!present)('real configuration', () => {
  it.each([
    ['samples', ['Deployment', 'Gateway', 'HTTPRoute', 'Ingress']],
    ['corpus', ['Deployment']],
  ])('%s: every file is accepted, and objects outside the mesh are named', async (name, foreign) => {
    const folder = join(REFERENCE, name);
    const [code, { valid, resources }] = await validated(folder);
    const violations = resources.flatMap(({ source, violations: list }) =>
      list.map((violation) => ({ ...source, ...violation })),
    );
    expect(violations).toEqual([]);
    expect([code, valid]).toEqual([0, true]);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => /\.ya?ml$/.test(file));
    const read = new Set(resources.map(({ source }) => source.file.slice(folder.length + 1)));
    console.log(`${name}: ${resources.length} resources of ${read.size} files`);
    expect(files.filter((file) => !read.has(file))).toEqual([]);
    const left = resources.filter(({ warnings }) => warnings.some((warning) => warning.rule === 'foreign-kind'));
    expect([...new Set(left.map((resource) => resource.kind))].sort()).toEqual(foreign);
  });
});
