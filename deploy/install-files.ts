/** What a control plane serves to bare machines: the package as an archive, the single executables, and their digests. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  EXECUTABLE_TARGETS,
  type ExecutableTarget,
  executableFile,
  INSTALL_MANIFEST,
  type InstallFile,
  type InstallManifest,
  PACKAGE_FILE,
} from '../shared/install/install-files.ts';
import { buildExecutable } from './executable.ts';

/**
 * Fills `install` in the built package `folder`.
 * @param report one line on each executable that cannot be built here
 */
export function buildInstallFiles(
  folder: string,
  version: string,
  report: (line: string) => void,
  targets: readonly ExecutableTarget[] = EXECUTABLE_TARGETS,
): InstallManifest {
  const install = join(folder, 'install');
  const names = [PACKAGE_FILE];
  mkdirSync(install, { recursive: true });
  pack(folder, join(install, PACKAGE_FILE));
  for (const target of targets) {
    const name = executableFile(target);
    try {
      buildExecutable(target, join(install, name));
      names.push(name);
    } catch (error) {
      report(`no executable for ${target}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  const manifest: InstallManifest = { version, files: names.map((name) => described(install, name)) };
  writeFileSync(join(install, INSTALL_MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** The same bytes for the same package. Its files are in the folder `package`, as in an archive of npm. */
function pack(folder: string, archive: string): void {
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX'];
  const what = ['--exclude=./install', '--transform=s,^\\.,package,', '-C', folder, '.'];
  const tar = execFileSync('tar', [...same, '-cf', '-', ...what], { maxBuffer: 256 << 20 });
  writeFileSync(archive, execFileSync('gzip', ['-n', '-9'], { input: tar, maxBuffer: 256 << 20 }));
}

function described(folder: string, name: string): InstallFile {
  const path = join(folder, name);
  return { name, sha256: createHash('sha256').update(readFileSync(path)).digest('hex'), bytes: statSync(path).size };
}
