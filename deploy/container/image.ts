/**
 * `npm run build:image`: the image of the sidecar, from scratch. Everything in it comes from this machine: the single executable,
 * nft and ip of the system's packages, and the libraries that the loader finds for them.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pkg from '../../package.json' with { type: 'json' };

/** Numeric, in the image and in the capture rules. */
const UID = 1337;
const CAPTURE_PROGRAMS = ['/usr/sbin/nft', '/usr/sbin/ip'];

/**
 * Makes the image in buildah's storage.
 * @param executable what `npm run build` makes for this machine
 * @param tag as `tulle:0.1.0`
 * @throws Error in one line when a program is missing
 */
export function buildImage(executable: string, tag: string): void {
  const context = mkdtempSync(join(tmpdir(), 'tulle-image-'));
  try {
    const root = join(context, 'root');
    fillRoot(root, executable);
    mkdirSync(join(context, 'data'), { mode: 0o700 });
    copyFileSync(fileURLToPath(new URL('Containerfile', import.meta.url)), join(context, 'Containerfile'));
    run('buildah', ['bud', '--quiet', '--isolation', 'chroot', '--tag', tag, context]);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

function fillRoot(root: string, executable: string): void {
  put(root, executable, '/tulle');
  for (const program of CAPTURE_PROGRAMS) put(root, program, program);
  const libraries = new Set([executable, ...CAPTURE_PROGRAMS].flatMap(librariesOf));
  for (const library of libraries) put(root, library, library);
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), `root:x:0:0::/:/none\ntulle:x:${UID}:${UID}::/var/lib/tulle:/none\n`);
  writeFileSync(join(root, 'etc/group'), `root:x:0:\ntulle:x:${UID}:\n`);
  mkdirSync(join(root, 'tmp'), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
}

/** Copies a file, not a link to it, with its permissions. */
function put(root: string, from: string, to: string): void {
  const path = join(root, to);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
  chmodSync(path, 0o755);
}

/** The loader and the shared libraries of a program, absolute paths as the loader looks for them. */
function librariesOf(program: string): string[] {
  const lines = run('ldd', [program]).split('\n');
  const missing = lines.find((line) => line.includes('not found'));
  if (missing) throw new Error(`${program}: ${missing.trim()}`);
  return lines.flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

function run(program: string, args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    if (code === 'ENOENT') throw new Error(`${program}: is not installed`);
    throw new Error(`${program} ${args[0]}: ${stderr?.trim().split('\n').at(-1)}`);
  }
}

if (import.meta.main) {
  const [executable, tag = `tulle:${pkg.version}`] = process.argv.slice(2);
  if (executable === undefined) throw new Error('usage: image.ts EXECUTABLE [TAG]');
  buildImage(executable, tag);
  process.stdout.write(`${tag}\n`);
}
