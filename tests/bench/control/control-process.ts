/** A control plane in a process of its own, with what a client needs to reach it. TULLE_BENCH_PROFILE: folder of CPU profiles. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type RuntimeName, runtimeCommand } from '../../../control/cli/runtimes.mjs';
import { ROOT } from '../../kit/environment.ts';
import { Program } from '../../kit/process.ts';
import { cpuOf } from '../process-stats.ts';

export interface ControlProcess {
  readonly url: URL;
  /** PEM roots. */
  readonly ca: string;
  readonly token: string;
  /** What it has written so far to both outputs, newest last. */
  readonly lines: readonly string[];
  /** CPU it has used so far, user and system, in seconds; resolution 10 ms. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

/** Starts `tulle control` on a fresh data folder, which `stop` removes. */
export async function startControlProcess(runtime: RuntimeName = 'node'): Promise<ControlProcess> {
  const data = mkdtempSync(join(tmpdir(), 'tulle-bench-control-'));
  const command = runtimeCommand(runtime, join(ROOT, 'control/cli/main.ts'));
  const profile = process.env['TULLE_BENCH_PROFILE'];
  if (profile) command.splice(1, 0, '--cpu-prof', '--cpu-prof-interval', '500', '--cpu-prof-dir', profile);
  const part = new Program('control', [...command, 'control', '--data', data, '--port', '0', '--announce']);
  try {
    const { url, trustBundle, adminToken } = await part.announcement<Record<string, string>>();
    return {
      url: new URL(url!),
      ca: trustBundle!,
      token: adminToken!,
      lines: part.lines,
      cpuSeconds: () => cpuOf(part.process.pid!) / 1e6,
      stop: async () => {
        await part.stop();
        rmSync(data, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await part.stop();
    rmSync(data, { recursive: true, force: true });
    throw error;
  }
}
