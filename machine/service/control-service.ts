/** The control plane as a systemd service of this machine. */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Host, HostError } from '../host/host.ts';
import type { Undo } from '../join/undo.ts';
import { checkSystemUser, makeUser, removeUser, userExists } from './account.ts';
import type { Systemd } from './systemd.ts';
import { controlUnit } from './units.ts';

/** Name of the user, and of the folder below /var/lib. */
export const CONTROL_USER = 'tulle-control';
export const CONTROL_DATA = `/var/lib/${CONTROL_USER}`;
const UNIT = 'tulle-control.service';
/** Hash of the admin token, as the control plane reads it (control/api/auth.ts). */
const TOKEN_FILE = 'admin-token.sha256';

export interface ControlServiceParts {
  readonly host: Host;
  readonly systemd: Systemd;
  /** `tulle`, as a service starts it. */
  readonly tulle: readonly string[];
}

/**
 * User, folder and unit; starts it now and at each boot. Each step is in `undo` before it begins.
 * @param flags of `tulle control`, without --data
 * @returns the admin token, which only its hash is kept of; undefined: there is one already
 * @throws HostError
 */
export async function installControl(
  flags: readonly string[],
  { host, systemd, tulle }: ControlServiceParts,
  undo: Undo,
): Promise<string | undefined> {
  if ((await systemd.state(UNIT)).active === 'active')
    throw new HostError(`${UNIT} runs already; "tulle control uninstall" removes it, its data stay`);
  if (await userExists(host, CONTROL_USER)) await checkSystemUser(host, CONTROL_USER);
  else {
    undo.add(`user ${CONTROL_USER}`, () => removeUser(host, CONTROL_USER));
    await makeUser(host, CONTROL_USER, CONTROL_DATA);
  }
  const hadData = await host.exists(CONTROL_DATA);
  if (!hadData) undo.add(CONTROL_DATA, () => host.remove(CONTROL_DATA));
  await host.makeFolder(CONTROL_DATA, 0o700, CONTROL_USER);
  const token = await writeToken(host);
  undo.add(UNIT, () => systemd.remove([UNIT]));
  const inHome = tulle.some((word) => /^\/(home|root|run\/user)\//.test(word));
  await systemd.write([controlUnit([...tulle, 'control', '--data', CONTROL_DATA, ...flags], CONTROL_USER, inHome)]);
  await systemd.start([UNIT]);
  return token;
}

/** Made here, so that the control plane does not print it into the journal. */
async function writeToken(host: Host): Promise<string | undefined> {
  const path = join(CONTROL_DATA, TOKEN_FILE);
  if (await host.exists(path)) return undefined;
  const token = `tulle_${randomBytes(32).toString('base64url')}`;
  await host.write(path, `${createHash('sha256').update(token).digest('hex')}\n`, 0o600, CONTROL_USER);
  return token;
}

/** @param deleteData also keys, certificates and resources: machines that have joined are then of no mesh */
export async function uninstallControl(
  { host, systemd }: Pick<ControlServiceParts, 'host' | 'systemd'>,
  deleteData: boolean,
): Promise<void> {
  await systemd.remove([UNIT]);
  if (deleteData) await host.remove(CONTROL_DATA);
  if (deleteData && (await userExists(host, CONTROL_USER))) await removeUser(host, CONTROL_USER);
}
