// Where the runtimes are. Plain JavaScript, because Node 20 (which cannot run TypeScript) starts here.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const compileCache = new URL('./compile-cache.mjs', import.meta.url).href;

/** Where a program lies, a path from here without its extension: the package has it bundled, a checkout its source. */
export function program(path) {
  const at = (extension) => fileURLToPath(new URL(`${path}.${extension}`, import.meta.url));
  return firstFile([at('mjs')]) ?? at('ts');
}

/** The `tulle` command of this package or checkout, which a service starts. */
export const launcher = fileURLToPath(new URL('./tulle', import.meta.url));

/** The folder of an installed package, or undefined. */
function packageFolder(name) {
  for (const base of require.resolve.paths(name) ?? []) {
    const folder = join(base, ...name.split('/'));
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  return undefined;
}

/** The first of these files that exists. */
const firstFile = (files) => files.find((file) => file !== undefined && existsSync(file));

const inPackage = (name, ...path) => {
  const folder = packageFolder(name);
  return folder && join(folder, ...path);
};

const onPath = (name) =>
  firstFile(
    (process.env.PATH ?? '')
      .split(':')
      .filter(Boolean)
      .map((folder) => join(folder, name)),
  );

const os = process.platform;
const arch = process.arch;

/** A Node that runs TypeScript unbuilt (24 or newer): this one when it can, else the pinned package. */
export function nodeBinary() {
  const pinned = firstFile([inPackage(`node-${os}-${arch}`, 'bin', 'node')]);
  if (pinned) return pinned;
  const major = Number(process.versions.node.split('.')[0]);
  if (!process.versions.bun && !process.versions.deno && major >= 24) return process.execPath;
  throw new Error(
    `tulle: needs Node 24 or newer, found ${process.versions.node}; run "npm ci" in the checkout, or install Node 24`,
  );
}

/** Bun, from the npm package or PATH; undefined when absent. */
export function bunBinary() {
  return firstFile([
    inPackage(`@oven/bun-${os}-${arch === 'arm64' ? 'aarch64' : arch}`, 'bin', 'bun'),
    inPackage('bun', 'bin', 'bun.exe'),
    onPath('bun'),
  ]);
}

/** Deno, from the npm package or PATH; undefined when absent. */
export function denoBinary() {
  const libc = os === 'linux' ? '-glibc' : '';
  return firstFile([inPackage(`@deno/${os}-${arch}${libc}`, 'deno'), onPath('deno')]);
}

/** workerd, from the npm package or PATH; undefined when absent. */
export function workerdBinary() {
  return firstFile([
    inPackage(`@cloudflare/workerd-${os}-${arch === 'x64' ? '64' : arch}`, 'bin', 'workerd'),
    onPath('workerd'),
  ]);
}

/** How to start `script` on a runtime: [command, ...arguments]. */
export function runtimeCommand(runtime, script) {
  switch (runtime) {
    case 'node':
      return [nodeBinary(), '--disable-warning=ExperimentalWarning', script];
    case 'bun':
      return [need(bunBinary(), 'bun'), script];
    case 'deno':
      return [need(denoBinary(), 'deno'), 'run', '--quiet', '--no-lock', '-A', script];
    default:
      throw new Error(`tulle: unknown runtime "${runtime}": must be one of bun, node, deno`);
  }
}

/**
 * Half a request's garbage dies at once: V8's young generation may stay small, which costs no time and saves a proxy
 * ten megabytes (docs/performance.md).
 */
const SMALL = '--max-semi-space-size=2';
/** The proxy collects what the runtime's own sockets leave behind (Deno), and all there is under pressure. */
const COLLECT = '--expose-gc';

/** How to start the proxy on a runtime: [command, ...arguments]; its own flags follow. */
export function proxyCommand(runtime) {
  const [command, ...args] = runtimeCommand(runtime, program('../../edge-proxy/main'));
  if (runtime === 'node') return [command, SMALL, COLLECT, '--import', compileCache, ...args];
  if (runtime === 'deno') return [command, args[0], `--v8-flags=${SMALL},${COLLECT}`, ...args.slice(1)];
  return [command, ...args];
}

function need(binary, name) {
  if (binary) return binary;
  throw new Error(`tulle: runtime "${name}" is not installed (looked in node_modules and PATH)`);
}
