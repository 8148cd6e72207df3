/** `tulle validate` over the samples and configurations of Istio's own tests, as a user runs it: all of it is accepted. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ValidateReport } from './validate.ts';

const reference = fileURLToPath(new URL('../../../shared/reference/', import.meta.url));
const present = existsSync(reference);
if (!present) console.log('skipped: the reference data is not here');
const bin = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** The exit code and the report. */
function run(folder: string): Promise<[number, ValidateReport]> {
  return new Promise((resolve) => {
    const args = [bin, 'validate', '-R', '-f', folder, '-o', 'json'];
    execFile(process.execPath, args, { maxBuffer: 64 << 20 }, (error, stdout) =>
      resolve([typeof error?.code === 'number' ? error.code : 0, JSON.parse(stdout) as ValidateReport]),
    );
  });
}

describe.skipIf(!present)('real configuration', () => {
  it.each([
    ['samples', ['Deployment', 'Gateway', 'HTTPRoute', 'Ingress']],
    ['corpus', ['Deployment']],
  ])('%s: every file is accepted, and objects outside the mesh are named', async (name, foreign) => {
    const folder = `${reference}${name}`;
    const [code, { valid, resources }] = await run(folder);
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
