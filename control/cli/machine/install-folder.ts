/** Where this package has what machines that join download. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { INSTALL_MANIFEST } from '../../../shared/install/install-files.ts';
import { CliError } from '../cli-error.ts';

/** From a program of the package, which lies in control/cli, and from this file of a checkout that was built. */
const DEFAULTS = ['../../install', '../../../dist/install'];

/**
 * @param given `--install-files`
 * @returns undefined where nothing was built
 * @throws CliError where the given folder holds no build
 */
export function installFolder(given: string | undefined): string | undefined {
  const isBuild = (folder: string) => existsSync(join(folder, INSTALL_MANIFEST));
  if (given === undefined) return DEFAULTS.map((path) => fileURLToPath(new URL(path, import.meta.url))).find(isBuild);
  if (isBuild(given)) return given;
  throw new CliError(
    `--install-files ${given}: has no ${INSTALL_MANIFEST}; name the folder dist/install that "npm run build" makes`,
  );
}
