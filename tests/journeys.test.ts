/** Holds docs/request-path.md and docs/config-path.md against the code they describe. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const read = (file: string) => readFileSync(resolve(root, file), 'utf8');

interface Stop {
  readonly title: string;
  /** Path -> the names said to be exported there, `Class.method` for a method. */
  readonly files: ReadonlyMap<string, readonly string[]>;
  /** An importing file and what it imports. */
  readonly links: readonly { from: string; to: readonly string[] }[];
  readonly prose: string;
}

const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);

function stopsOf(page: string): Stop[] {
  return page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [title = '', ...lines] = section.split('\n');
      const files = new Map<string, string[]>();
      const links: { from: string; to: string[] }[] = [];
      for (const line of lines.filter((each) => each.startsWith('- '))) {
        const [first = '', ...others] = quoted(line);
        if (line.startsWith('- Link: ')) links.push({ from: first, to: others });
        else files.set(first, others);
      }
      return { title, files, links, prose: lines.filter((each) => !each.startsWith('- ')).join('\n') };
    });
}

function importsOf(file: string): Set<string> {
  const found = [...read(file).matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)];
  return new Set(found.map((match) => relative(root, resolve(root, dirname(file), match[1]!))));
}

/** Whether the file exports the name, or exports the class that has the method. */
function exportsName(file: string, name: string): boolean {
  const text = read(file);
  const [item = '', method] = name.split('.');
  const declared = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:async )?(?:function\\*?|class|interface|type|const) ${item}\\b`,
    'm',
  );
  const listed = new RegExp(`^export (?:type )?\\{[^}]*\\b${item}\\b[^}]*\\}`, 'm');
  if (!declared.test(text) && !listed.test(text)) return false;
  if (method === undefined) return true;
  const start = text.search(new RegExp(`^export class ${item}\\b`, 'm'));
  const length = start < 0 ? 0 : text.slice(start).search(/^}/m);
  return new RegExp(`^  (?:private |async |\\*)*${method}[(<]`, 'm').test(text.slice(start, start + length));
}

describe.each(['docs/request-path.md', 'docs/config-path.md'])('%s', (file) => {
  const page = read(file);
  const stops = stopsOf(page);

  it('has its stops in order, each with files and a paragraph', () => {
    expect(stops.length).toBeGreaterThan(10);
    expect(stops.map(({ title }) => Number.parseInt(title, 10))).toEqual(stops.map((_, i) => i + 1));
    expect(stops.filter(({ files, prose }) => files.size === 0 || prose.trim().length < 80)).toEqual([]);
  });

  it('names only files that exist', () => {
    const named = quoted(page).filter((text) => /^(control|edge-proxy|shared|tests)\/.*\.ts$/.test(text));
    expect(named.length).toBeGreaterThan(30);
    expect([...new Set(named)].filter((path) => !existsSync(resolve(root, path)))).toEqual([]);
  });

  it('names only what those files export', () => {
    const wrong = stops.flatMap(({ files }) =>
      [...files].flatMap(([path, names]) =>
        names.filter((name) => !exportsName(path, name)).map((name) => `${path} does not export ${name}`),
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('links files by imports that are there', () => {
    const wrong = stops.flatMap(({ links }) =>
      links.flatMap(({ from, to }) => {
        const imports = importsOf(from);
        return to.filter((each) => !imports.has(each)).map((each) => `${from} does not import ${each}`);
      }),
    );
    expect(wrong).toEqual([]);
  });

  it('leads from earlier stops to every file of a stop by those imports', () => {
    const links = stops.map((stop) => stop.links.flatMap(({ from, to }) => to.map((each) => [from, each] as const)));
    const broken = stops.slice(1).flatMap(({ title, files }, i) => {
      const earlier = new Set(stops.slice(0, i + 1).flatMap((stop) => [...stop.files.keys()]));
      const reached = new Set(earlier);
      for (let size = 0; size !== reached.size; ) {
        size = reached.size;
        for (const [one, other] of links[i + 1]!) {
          if (reached.has(one)) reached.add(other);
          if (reached.has(other)) reached.add(one);
        }
      }
      return [...files.keys()].filter((path) => !reached.has(path)).map((path) => `${title}: ${path}`);
    });
    expect(broken).toEqual([]);
  });

  it('each link touches a file of its stop', () => {
    const stray = stops.flatMap(({ title, files, links }) =>
      links
        .filter(({ from, to }) => ![from, ...to].some((path) => files.has(path)))
        .map(({ from }) => `${title}: ${from}`),
    );
    expect(stray).toEqual([]);
  });
});
