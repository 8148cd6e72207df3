/** `tulle leave`: takes away what the join set up, and what an interrupted join may have set up. */
import { join } from 'node:path';
import { IDENTITY_FILE, parseIdentity } from '../../shared/identity/identity-file.ts';
import type { Host } from '../host/host.ts';
import { type HostLayout, removeConfig } from '../host/layout.ts';
import { removeUser, userExists } from '../service/account.ts';
import type { Systemd } from '../service/systemd.ts';
import { callVerified, messageOf } from './control-plane.ts';
import type { MachineRecord } from './record.ts';
import { unitNames } from './set-up.ts';
import { Undo } from './undo.ts';

export interface LeaveParts {
  readonly host: Host;
  readonly layout: HostLayout;
  readonly systemd: Systemd;
  /** Turns redirection of traffic and names off; harmless where it is off. */
  readonly hostOff: () => Promise<void>;
  /** One line on what is done. */
  readonly report: (line: string) => void;
}

/** @param record undefined: there is none, an interrupted join is cleaned up @returns one line on each thing that is left */
export async function leaveMesh(record: MachineRecord | undefined, parts: LeaveParts): Promise<string[]> {
  const { host, layout, systemd, report } = parts;
  const identity = await heldIdentity(host, layout);
  const undo = new Undo();
  // The last one first: the proxy ends, then its registration, so that it does not register again.
  const installed = record?.installed;
  if (installed !== undefined) undo.add('the command', () => uninstall(host, installed));
  const user = record?.madeUser;
  if (user !== undefined)
    undo.add(`user ${user}`, async () => {
      if (await userExists(host, user)) await removeUser(host, user);
    });
  undo.add(layout.config, () => removeConfig(host, layout));
  undo.add(layout.data, () => host.remove(layout.data));
  for (const name of record?.applications ?? []) undo.add(`drop-in of ${name}`, () => systemd.removeDropIn(name));
  if (record && identity)
    undo.add('registration', async () => report(await deregister(record.controlPlanes, identity)));
  undo.add('systemd units', () => systemd.remove(unitNames()));
  undo.add('capture', parts.hostOff);
  return undo.run();
}

async function heldIdentity(host: Host, { data }: HostLayout) {
  try {
    const text = await host.read(join(data, IDENTITY_FILE));
    return text === undefined ? undefined : parseIdentity(text);
  } catch {
    return undefined;
  }
}

/** Not reaching a control plane keeps nothing from being taken away. */
async function deregister(
  controlPlanes: readonly string[],
  identity: { readonly privateKey: string; readonly certificateChain: string; readonly trustBundle: string },
): Promise<string> {
  const client = { cert: identity.certificateChain, key: identity.privateKey };
  const failures: string[] = [];
  for (const url of controlPlanes) {
    try {
      const { status, body } = await callVerified(url, identity.trustBundle, 'DELETE', '/v1/join', undefined, client);
      if (status < 300) return 'deregistered: its certificate is not renewed any more';
      failures.push(`${url}: ${messageOf(body) || `status ${status}`}`);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  return `not deregistered (${failures.join('; ')}): the control plane drops it once its certificate has expired`;
}

/** What the installer script wrote (control/api/install-script.ts). */
export async function uninstall(host: Host, prefix: string): Promise<void> {
  await host.remove(join(prefix, 'bin/tulle'));
  await host.remove(join(prefix, 'lib/tulle'));
}
