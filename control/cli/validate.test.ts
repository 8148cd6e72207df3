import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { fieldValidationFlag } from './resources/apply.ts';
import { checkSources, readSources } from './sources.ts';
import { validateSources } from './validate.ts';

let folder = '';
const good = (name: string, port = 80) =>
  `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  ports:\n  - port: ${port}\n`;
const unused =
  'apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: b\nspec:\n  url: oci://registry.test/b:1\n';
const bad =
  'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: b\nspec:\n  hosts: [b]\n  htpp: []\n';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tulle-validate-'));
  await mkdir(join(folder, 'deep'));
  await writeFile(join(folder, 'a.yaml'), `${good('a')}---\n${unused}`);
  await writeFile(join(folder, 'deep', 'b.yml'), bad);
  await writeFile(
    join(folder, 'again.json'),
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'a', namespace: 'default' },
      spec: { ports: [{ port: 81 }] },
    }),
  );
  await writeFile(join(folder, 'broken.yaml'), 'a: 1\na: 2\n');
  await writeFile(join(folder, 'deployment.yaml'), 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n');
  await writeFile(join(folder, 'readme.txt'), 'not: [yaml');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('tulle validate', () => {
  it('reads folders and validates every document separately', async () => {
    const report = await validateSources({ paths: [folder], recursive: true });
    expect(report.valid).toBe(false);
    const seen = report.resources.map(({ kind, namespace, name, source, violations, warnings }) => [
      source.file.slice(folder.length + 1),
      source.line,
      `${kind} ${namespace}/${name}`,
      violations.map((violation) => violation.path),
      warnings.map((warning) => warning.rule),
    ]);
    expect(seen).toEqual([
      ['a.yaml', 1, 'Service default/a', [], []],
      ['a.yaml', 9, 'WasmPlugin default/b', [], ['not-compiled']],
      ['again.json', 1, 'Service default/a', [], ['duplicate-object']],
      ['broken.yaml', 1, ' /', ['a', 'apiVersion', 'kind', 'metadata'], []],
      [join('deep', 'b.yml'), 1, 'VirtualService default/b', ['spec.htpp'], []],
      ['deployment.yaml', 1, 'Deployment /d', [], ['foreign-kind']],
    ]);
  });

  it('names the path that cannot be read', async () => {
    await expect(readSources({ paths: [join(folder, 'absent.yaml')], recursive: true })).rejects.toThrow(
      'absent.yaml: no such file or folder',
    );
  });
});

describe('sources of the other commands', () => {
  it('the last of two wins', async () => {
    const found = await checkSources({ paths: [join(folder, 'a.yaml'), join(folder, 'again.json')], recursive: true });
    expect(found.map((each) => [each.resource.metadata.name, each.file.slice(folder.length + 1)])).toEqual([
      ['b', 'a.yaml'],
      ['a', 'again.json'],
    ]);
  });
  it('one violation refuses all documents and is named', async () => {
    const error = await checkSources({ paths: [join(folder, 'a.yaml'), join(folder, 'deep')], recursive: true }).catch(
      (cause: Error) => cause,
    );
    expect(String(error)).toContain(
      'b.yml:7:3: VirtualService b: spec.htpp: unknown field "htpp" (did you mean "http"?)',
    );
  });
  it('warns on stderr under a policy', async () => {
    const file = join(folder, 'warned.txt');
    const routes = '[{route: [{destination: {host: a}}]}, {route: [{destination: {host: a}}]}]';
    await writeFile(
      file,
      `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: w}\nspec:\n  hosts: [a]\n  http: ${routes}\n`,
    );
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    try {
      await checkSources({ paths: [file], recursive: true });
      expect(said.mock.calls).toEqual([]);
      await checkSources({ paths: [file], recursive: true }, 'Strict');
      expect(said.mock.calls.join('').replace(file, 'f')).toMatch(
        /^Warning: f:6:\d+: VirtualService w: spec\.http\[1\]: is never reached: .*\n$/,
      );
    } finally {
      said.mockRestore();
    }
  });
  it('unknown and duplicate fields, under each policy', async () => {
    const file = join(folder, 'odd.txt');
    await writeFile(file, `${good('odd').replace('spec:', 'spec:\n  odd: 1')}  selector: {a: b}\n  selector: {a: c}\n`);
    const strict = await checkSources({ paths: [file], recursive: true }).catch((cause: Error) => cause.message);
    expect(String(strict).split('\n')).toEqual([
      `${file}:10:3: Service odd: spec.selector: the field "selector" is set twice`,
      `${file}:6:3: Service odd: spec.odd: unknown field "odd"`,
    ]);
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    try {
      for (const policy of ['Warn', 'Ignore'] as const) {
        said.mockClear();
        const [found] = await checkSources({ paths: [file], recursive: true }, policy);
        expect(found?.resource.spec).toEqual({ ports: [{ port: 80 }], selector: { a: 'c' } });
        const lines = said.mock.calls.join('').trimEnd().split('\n').filter(Boolean);
        expect(lines.map((line) => line.replace(file, 'f'))).toEqual(
          policy === 'Ignore'
            ? []
            : [
                'Warning: f:10:3: Service odd: spec.selector: the field "selector" is set twice',
                'Warning: f:6:3: Service odd: spec.odd: unknown field "odd"',
              ],
        );
      }
    } finally {
      said.mockRestore();
    }
  });
  it('--validate accepts the words of kubectl', () => {
    const words = ['strict', 'true', 'warn', 'ignore', 'false'];
    expect(words.map(fieldValidationFlag)).toEqual(['Strict', 'Strict', 'Warn', 'Ignore', 'Ignore']);
    expect(() => fieldValidationFlag('maybe')).toThrow('--validate maybe: must be strict');
  });
});
