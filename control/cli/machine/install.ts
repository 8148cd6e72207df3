/** `tulle control install` and `uninstall`: the control plane as a service of this machine. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Undo } from '../../../machine/join/undo.ts';
import { CONTROL_DATA, installControl, uninstallControl } from '../../../machine/service/control-service.ts';
import { advertisedOf } from '../advertised.ts';
import { CliError } from '../cli-error.ts';
import { ControlApi } from '../connection.ts';
import { defaultKubeconfig } from '../kubeconfig/read.ts';
import { kubeconfig, saveKubeconfig } from '../kubeconfig/write.ts';
import { note } from '../output.ts';
import { thisMachine } from './this-machine.ts';

export interface InstallFlags {
  port: string;
  serverName?: string[];
  advertise?: string;
  trustDomain: string;
}

const READY_LIMIT_MS = 60_000;

/** @throws CliError, after everything was taken back */
export async function installControlPlane(flags: InstallFlags): Promise<void> {
  const { host, layout, systemd, hasSystemd, tulle } = await thisMachine();
  if (!layout.system || !hasSystemd)
    throw new CliError('control install: needs root and systemd; else run "tulle control"');
  if (!/^[1-9]\d{0,4}$/.test(flags.port) || Number(flags.port) > 65_535)
    throw new CliError(`--port ${flags.port}: must be 1 to 65535`);
  if (flags.advertise !== undefined) advertisedOf(flags.advertise);
  const undo = new Undo();
  try {
    const token = await installControl(controlFlags(flags), { host, systemd, tulle }, undo);
    const ca = await ready(flags.port, () => host.read(`${CONTROL_DATA}/ca/root-cert.pem`));
    const server = `https://127.0.0.1:${flags.port}`;
    note(`tulle-control.service serves ${server}, and every address of this machine (journalctl -u tulle-control)`);
    if (token === undefined) return note(`the admin token is that of the data in ${CONTROL_DATA}`);
    saveKubeconfig(defaultKubeconfig(), kubeconfig(server, ca, token));
    note(`wrote ${defaultKubeconfig()}: tulle and kubectl of root find it. The admin token, shown this once:`);
    process.stdout.write(`${token}\n`);
  } catch (error) {
    const left = await undo.run();
    throw new CliError([(error as Error).message, ...left].join('; '));
  }
}

export async function uninstallControlPlane(flags: { deleteData?: boolean }): Promise<void> {
  const { host, layout, systemd } = await thisMachine();
  if (!layout.system) throw new CliError('control uninstall: needs root');
  await uninstallControl({ host, systemd }, flags.deleteData === true);
  note(
    flags.deleteData
      ? 'the control plane and its data are removed'
      : `the control plane is removed; its keys and resources stay in ${CONTROL_DATA} (--delete-data removes them)`,
  );
}

function controlFlags({ port, serverName = [], advertise, trustDomain }: InstallFlags): string[] {
  return [
    ...['--address', '0.0.0.0', '--port', port, '--trust-domain', trustDomain],
    ...(serverName.length > 0 ? ['--server-name', ...serverName] : []),
    ...(advertise === undefined ? [] : ['--advertise', advertise]),
  ];
}

/** @returns the root certificate, PEM, once the control plane answers */
async function ready(port: string, root: () => Promise<string | undefined>): Promise<string> {
  const end = Date.now() + READY_LIMIT_MS;
  for (;;) {
    const ca = await root();
    if (ca !== undefined) {
      const api = new ControlApi(`https://127.0.0.1:${port}`, undefined, ca);
      const answer = await api.request('GET', '/readyz').catch(() => undefined);
      if (answer?.status === 200) return ca;
    }
    if (Date.now() > end)
      throw new CliError('the control plane does not answer; "journalctl -u tulle-control" says why');
    await sleep(100);
  }
}
