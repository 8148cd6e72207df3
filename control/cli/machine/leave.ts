/** `tulle leave`: this machine is no workload any more. */
import { leaveMesh } from '../../../machine/join/leave.ts';
import { readRecord, recordPath } from '../../../machine/join/record.ts';
import { CliError } from '../cli-error.ts';
import { note } from '../output.ts';
import { releaseHost } from './redirection.ts';
import { thisMachine } from './this-machine.ts';

/** @throws CliError with what is left behind, each with its reason */
export async function leave(): Promise<void> {
  const { host, layout, systemd } = await thisMachine();
  const held = await readRecord(host, layout);
  if (!held && !(await host.exists(layout.config))) {
    note(`this machine has not joined (there is no ${recordPath(layout)}); nothing is changed`);
    return;
  }
  const report = (line: string) => note(`tulle: ${line}`);
  const left = await leaveMesh(held, { host, layout, systemd, hostOff: releaseHost, report });
  if (left.length > 0) throw new CliError(left.join('\n'));
  note(`this machine has left the mesh${held ? ` (it was ${held.spiffeId})` : ''}`);
}
