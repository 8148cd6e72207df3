import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { kinds } from '../../shared/resources/index.ts';
import { customResourceDefinitions } from './custom-resource-definitions.ts';
import { resourcePages } from './resource-pages.ts';

const folder = fileURLToPath(new URL('../../docs/resources/', import.meta.url));
const pages = resourcePages();

it('deploy/kubernetes/crds.yaml is current (else: npm run docs)', () => {
  const file = fileURLToPath(new URL('../../deploy/kubernetes/crds.yaml', import.meta.url));
  expect(readFileSync(file, 'utf8')).toBe(customResourceDefinitions());
});

describe('docs/resources', () => {
  it('has a page for every kind, and no others', () => {
    expect(readdirSync(folder).sort()).toEqual([...pages.keys()].sort());
    for (const { kind } of kinds) expect(pages.has(`${kind.toLowerCase()}.md`), kind).toBe(true);
  });

  it.each([...pages])('%s is current (else: npm run docs)', (name, text) => {
    expect(readFileSync(folder + name, 'utf8')).toBe(text);
  });

  it.each([...pages])('%s has no broken links', (_name, text) => {
    const anchors = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1]));
    expect(anchors.size).toBe([...text.matchAll(/<a id=/g)].length);
    for (const [, target = ''] of text.matchAll(/(?<!\\)\]\(([^)]+)\)/g)) {
      expect(target.startsWith('#') ? anchors.has(target.slice(1)) : pages.has(target), target).toBe(true);
    }
  });

  it('has a row for every field, with its type, default and rules', () => {
    const text = pages.get('virtualservice.md')!;
    expect(text).toContain('| `attempts` | integer | 2, of the mesh config |');
    expect(text).toMatch(/\| `host` \| string, \*\*required\*\* \| {2}\| Name of the service/);
    expect(text).toContain('- only one of exact, prefix, regex may be set');
    expect(pages.get('destinationrule.md')).toContain('Fields as in spec.trafficPolicy.');
    expect(pages.get('peerauthentication.md')).toContain('One of `UNSET`, `DISABLE`, `PERMISSIVE`, `STRICT`.');
  });
});
