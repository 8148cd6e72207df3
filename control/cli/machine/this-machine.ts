/** What commands about this machine have in common: its host, its systemd, and how `tulle` is started on it. */
import { basename } from 'node:path';
import process from 'node:process';
import type { Host } from '../../../machine/host/host.ts';
import { type HostLayout, hostLayout } from '../../../machine/host/layout.ts';
import { ownHost } from '../../../machine/host/own-host.ts';
import { Systemd } from '../../../machine/service/systemd.ts';
import { CliError } from '../cli-error.ts';
import { bringsProxy } from '../proxy.ts';
import { launcher } from '../runtimes.mjs';

export interface ThisMachine {
  readonly host: Host;
  readonly layout: HostLayout;
  readonly systemd: Systemd;
  /** systemd runs it, or this user's services. */
  readonly hasSystemd: boolean;
  /** Starts `tulle`. */
  readonly tulle: readonly string[];
}

/** @throws CliError where it is no Linux */
export async function thisMachine(): Promise<ThisMachine> {
  if (process.platform !== 'linux')
    throw new CliError(`machines join on Linux, this is ${process.platform}: use "tulle run" with a join token`);
  const host = ownHost();
  const layout = hostLayout(host.uid, process.env);
  const systemd = new Systemd(host, layout);
  const hasSystemd = await systemd.isThere(process.env['XDG_RUNTIME_DIR']);
  return { host, layout, systemd, hasSystemd, tulle: bringsProxy() ? [process.execPath] : [launcher] };
}

/** A name for a workload, of the machine's. */
export function workloadName(hostname: string): string {
  const name = basename(hostname)
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .slice(0, 63);
  return name === '' ? 'machine' : name;
}
