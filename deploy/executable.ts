/** The single executable: the command, the proxy and a runtime (Bun) in one file, which needs nothing of its machine. */
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bunBinary } from '../control/cli/runtimes.mjs';
import pkg from '../package.json' with { type: 'json' };
import type { ExecutableTarget } from '../shared/install/install-files.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** npm packages of the runtime itself, by what it runs on. */
const RUNTIME: Readonly<Record<ExecutableTarget, string>> = {
  'linux-x64': '@oven/bun-linux-x64',
  'linux-arm64': '@oven/bun-linux-aarch64',
};
/** Files in the folder where it is started must not configure a proxy. */
const CLOSED = ['dotenv', 'bunfig', 'tsconfig', 'package-json'].map((file) => `--no-compile-autoload-${file}`);

/**
 * Compiles `file`. The runtime of another target than this machine's comes from the npm registry, once a version.
 * @throws Error in one line where Bun is not installed, or that runtime cannot be had
 */
export function buildExecutable(target: ExecutableTarget, file: string): void {
  const bun = bunBinary();
  if (!bun) throw new Error('Bun is not installed ("npm ci" installs it)');
  const own = target === `${process.platform}-${process.arch}`;
  const runtime = own ? [] : [`--target=bun-${target}`, `--compile-executable-path=${runtimeOf(target)}`];
  const minify = ['--minify'];
  mkdirSync(dirname(file), { recursive: true });
  const program = join(ROOT, 'deploy/executable-main.ts');
  const args = ['build', '--compile', ...runtime, ...minify, ...CLOSED, program, '--outfile', file];
  execFileSync(bun, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** The Bun of another target, of this package's version. @throws Error */
function runtimeOf(target: ExecutableTarget): string {
  const name = `${RUNTIME[target]}@${pkg.devDependencies.bun}`;
  const kept = join(ROOT, 'node_modules/.cache/tulle', name.replace('/', '-'));
  const binary = join(kept, 'bin/bun');
  if (existsSync(binary)) return binary;
  const folder = mkdtempSync(join(tmpdir(), 'tulle-runtime-'));
  try {
    const quiet: ExecFileSyncOptionsWithStringEncoding = { cwd: folder, encoding: 'utf8', stdio: 'pipe' };
    // npm verifies what it downloads by the registry's digest.
    const archive = execFileSync('npm', ['pack', name, '--silent'], quiet).trim();
    execFileSync('tar', ['-xzf', archive], quiet);
    mkdirSync(dirname(kept), { recursive: true });
    rmSync(kept, { recursive: true, force: true });
    execFileSync('mv', ['package', kept], quiet);
    return binary;
  } catch {
    throw new Error(`${name} cannot be had from the npm registry`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
