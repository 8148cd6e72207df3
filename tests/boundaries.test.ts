import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Which folders a folder may not import from, and why. `runtime` stands for node:*, bun:*, Bun and Deno. */
const rules: { from: RegExp; except?: RegExp; never: RegExp; why: string }[] = [
  { from: /^shared\//, never: /^(control|edge-proxy|deploy|tests)\//, why: 'shared is what both planes agree on' },
  { from: /^shared\//, never: /^(node:|bun:)/, why: 'shared runs in every runtime, browser included' },
  {
    from: /^edge-proxy\//,
    never: /^(control|deploy|tests)\//,
    why: 'the proxy knows the control plane only by its API',
  },
  {
    from: /^control\//,
    except: /^control\/cli\//,
    never: /^edge-proxy\//,
    why: 'the control plane knows proxies only by xDS',
  },
  {
    from: /^edge-proxy\//,
    except: /^edge-proxy\/(runtime\/|x509\/|main\.ts$)/,
    never: /^(node:|bun:|cloudflare:)/,
    why: 'the proxy core takes its runtime as an argument',
  },
  {
    from: /^edge-proxy\/x509\//,
    never: /^(node:(?!crypto$|buffer$)|bun:|cloudflare:)|^edge-proxy\/(?!x509\/)/,
    why: 'certificate rules need bytes and signatures, nothing of the proxy',
  },
  {
    from: /^control\/compile\//,
    never: /^control\/(store|api|discovery|ca|cli)\//,
    why: 'compile is a pure function of (MeshView, node)',
  },
  {
    from: /^control\/mesh\//,
    never: /^control\/(api|compile|discovery|ca|cli)\//,
    why: 'mesh follows the store alone',
  },
  { from: /^control\/store\//, never: /^control\/(?!store\/)/, why: 'a store knows resources and nothing above' },
  { from: /^control\/(discovery|ca)\//, never: /^control\/(api|cli)\//, why: 'routes call services, not the reverse' },
  { from: /^(control|edge-proxy|shared)\//, never: /^tests\//, why: 'the product does not import its tests' },
];

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name) && !/\.(test|d)\.m?ts$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

function imports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '');
  return found.map((name) => (name.startsWith('.') ? relative(root, resolve(root, dirname(file), name)) : name));
}

describe('import boundaries', () => {
  const files = ['shared', 'control', 'edge-proxy'].flatMap(sources);

  it('sees the source tree', () => expect(files.length).toBeGreaterThan(20));

  it.each(rules)('$from never imports $never: $why', ({ from, except, never }) => {
    const broken = files
      .filter((file) => from.test(file) && !except?.test(file))
      .flatMap((file) =>
        imports(file)
          .filter((name) => never.test(name))
          .map((name) => `${file} imports ${name}`),
      );
    expect(broken).toEqual([]);
  });

  it('an HTTP filter is a folder and a line in the list of filters (docs/recipes.md)', () => {
    const home = 'edge-proxy/http/filters';
    const folders = readdirSync(join(root, home), { withFileTypes: true }).flatMap((one) =>
      one.isDirectory() ? [`${home}/${one.name}`] : [],
    );
    expect(folders.length).toBeGreaterThan(7);
    const users = folders.map((folder) => ({
      folder,
      users: files.filter(
        (file) => !file.startsWith(`${folder}/`) && imports(file).some((name) => name.startsWith(`${folder}/`)),
      ),
    }));
    // The network filter of the same name judges by the same rules.
    const network = ['edge-proxy/xds/compilers.ts'];
    expect(users).toEqual(
      folders.map((folder) => ({
        folder,
        users: [...(folder.endsWith('/rbac') ? network : []), `${home}/index.ts`],
      })),
    );
  });

  it('the proxy core is given time and chance, and never asks the runtime itself', () => {
    const broken = sources('edge-proxy')
      .filter((file) => !file.startsWith('edge-proxy/runtime/') && !/testing\.ts$|edge-proxy\/main\.ts$/.test(file))
      .filter((file) =>
        /\b(Math\.random|Date\.now|performance\.now|new Date\(\))/.test(
          readFileSync(join(root, file), 'utf8').replace(/(\/\*[\s\S]*?\*\/|\/\/.*)/g, ''),
        ),
      );
    expect(broken).toEqual([]);
  });

  it('the proxy core names no runtime global', () => {
    const broken = sources('edge-proxy')
      .filter((file) => !/^edge-proxy\/(runtime\/|x509\/|main\.ts$)/.test(file))
      .filter((file) =>
        /\b(Bun|Deno|process|Buffer)\.\w/.test(
          readFileSync(join(root, file), 'utf8')
            .replace(/(\/\*[\s\S]*?\*\/|\/\/.*)/g, '')
            .replace(/\bruntime\.process\./g, ''),
        ),
      );
    expect(broken).toEqual([]);
  });
});
