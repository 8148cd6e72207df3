/**
 * `npm run build`: the package that ships, in dist/. Each program is one bundle where its source lies in the checkout,
 * with the libraries it uses inside, so that nothing is stripped of types at a start and nothing else is installed.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';
import pkg from '../package.json' with { type: 'json' };
import { buildInstallFiles } from './install-files.ts';
import { bundleWorker } from './worker/bundle.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What starts the programs, a shell script and plain JavaScript; stays as it is. */
const LAUNCHER = ['tulle', 'bin.mjs', 'runtimes.mjs', 'runtimes.d.mts', 'compile-cache.mjs'];

/** What the package exports. */
const LIBRARY = ['library/index.ts', 'library/control.ts'];

/** The first line makes Bun skip transpilation: seven megabytes less in a proxy. CommonJS libraries need `require`. */
const BANNER = `// @bun
import { createRequire as requireForLibraries } from 'node:module';
const require = requireForLibraries(import.meta.url);`;

/**
 * Replaces `folder` with the package.
 * @param types without them it is the package as a bare machine installs it
 * @returns the bundled libraries, sorted
 */
export async function buildPackage(folder: string, types = true): Promise<string[]> {
  rmSync(folder, { recursive: true, force: true });
  const bundles = [
    await bundle(['control/cli/main.ts', ...LIBRARY], folder, 'control/cli'),
    await bundle(['edge-proxy/main.ts'], folder, 'edge-proxy'),
    await bundleWorker(join(folder, 'edge-proxy/runtime/worker/main.mjs')),
  ];
  for (const name of LAUNCHER) copy(`control/cli/${name}`, folder);
  for (const name of ['README.md', 'LICENSE'].filter((file) => existsSync(join(ROOT, file)))) copy(name, folder);
  if (types) declare(folder);
  const libraries = [...new Set(bundles.flatMap(librariesOf))].sort();
  writeFileSync(join(folder, 'THIRD-PARTY-LICENSES'), libraries.map(licenseOf).join('\n'));
  // What bare machines download is larger than the package by far.
  writeFileSync(join(folder, '.npmignore'), 'install\n');
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
  return libraries;
}

/** @param chunks the folder of what the programs share, from which relative imports start */
async function bundle(programs: readonly string[], folder: string, chunks: string): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [...programs],
    outbase: ROOT,
    outdir: folder,
    chunkNames: `${chunks}/[name]-[hash]`,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // Code that only mesh proxies need stays in a file of its own, which static proxies never load.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'es2024',
    minifySyntax: true,
    minifyWhitespace: true,
    // The launcher lies beside the command and knows the checkout or package around it.
    external: ['./runtimes.mjs'],
    banner: { js: BANNER },
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  return metafile;
}

/** The types of the library. They name no others, so that only their own declarations ship. */
function declare(folder: string): void {
  const declarations = mkdtempSync(join(tmpdir(), 'tulle-types-'));
  try {
    const options = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--incremental', 'false'];
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [compiler, '-p', ROOT, ...options, '--outDir', declarations], { cwd: ROOT });
    for (const file of LIBRARY) {
      const declaration = file.replace(/\.ts$/, '.d.ts');
      copyFileSync(join(declarations, declaration), join(folder, declaration.replace(/\.d\.ts$/, '.d.mts')));
    }
  } finally {
    rmSync(declarations, { recursive: true, force: true });
  }
}

function copy(file: string, folder: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  copyFileSync(join(ROOT, file), join(folder, file));
}

function librariesOf({ inputs }: Metafile): string[] {
  return Object.keys(inputs).flatMap((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
}

/**
 * The license text of the package, or the one in deploy/licenses for a package that has none.
 * @throws Error when there is neither: the library may not be redistributed
 */
function licenseOf(library: string): string {
  const folder = join(ROOT, 'node_modules', library);
  const own = readdirSync(folder).find((name) => /^licen[cs]e(\.(md|txt))?$/i.test(name));
  const file = own ? join(folder, own) : join(ROOT, 'deploy/licenses', `${library}.txt`);
  if (!existsSync(file)) throw new Error(`${library}: has no license text in ${folder}`);
  return `== ${library}\n\n${readFileSync(file, 'utf8').trim()}\n`;
}

/**
 * Installs nothing else. Of the runtimes, which are larger than this package, users choose: those that lie beside it are
 * found, else those of PATH.
 */
function manifest(): object {
  const { name, version, description, license, type, bin, engines, devDependencies, optionalDependencies } = pkg;
  const { bun, deno } = devDependencies;
  const peerDependencies = { ...optionalDependencies, bun, deno };
  const optional = Object.keys(peerDependencies).map((runtime) => [runtime, { optional: true }]);
  const peerDependenciesMeta = Object.fromEntries(optional);
  const exports = {
    '.': { types: './library/index.d.mts', default: './library/index.mjs' },
    './control': { types: './library/control.d.mts', default: './library/control.mjs' },
    './worker': './edge-proxy/runtime/worker/main.mjs',
    './package.json': './package.json',
  };
  return { name, version, description, license, type, bin, exports, engines, peerDependencies, peerDependenciesMeta };
}

if (resolve(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) {
  const folder = join(ROOT, 'dist');
  const libraries = await buildPackage(folder);
  process.stdout.write(`${folder}: tulle ${pkg.version}, with ${libraries.join(', ')} inside\n`);
  const { files } = buildInstallFiles(folder, pkg.version, (line) => process.stderr.write(`${line}\n`));
  for (const { name, bytes } of files)
    process.stdout.write(`${join(folder, 'install', name)}: ${(bytes / 1e6).toFixed(1)} MB\n`);
}
