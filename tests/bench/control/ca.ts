/**
 * The certificate authority by itself: X.509-SVIDs for CSRs such as proxies send. Run alone:
 * `node control/cli/bin.mjs --script tests/bench/control/ca.ts [runtime]`.
 */
import { join } from 'node:path';
import { type RuntimeName, runtimeCommand } from '../../../control/cli/runtimes.mjs';
import { ROOT } from '../../kit/environment.ts';
import { DrivenProgram } from '../../kit/process.ts';
import { cpuOf } from '../process-stats.ts';

export interface CaOptions {
  readonly runtime?: RuntimeName;
  readonly certificates?: number;
}

/** Certificates in a CPU second of the issuing process, all its threads counted. */
export interface CaFigures {
  readonly oneAtATime: number;
  readonly sixteenAtOnce: number;
}

export async function measureCa({ runtime = 'node', certificates = 3000 }: CaOptions = {}): Promise<CaFigures> {
  const command = runtimeCommand(runtime, join(ROOT, 'tests/bench/control/ca.child.ts'));
  const issuer = new DrivenProgram(`issuing process (${runtime})`, command);
  const expectLine = async (line: Promise<string>, wanted: string) => {
    const value = await line;
    if (value !== wanted) throw new Error(`the issuing process wrote ${JSON.stringify(value)}, not "${wanted}"`);
  };
  const issue = async (count: number, together: number) => {
    const pid = issuer.process.pid!;
    const before = cpuOf(pid);
    await expectLine(issuer.ask(`${count} ${together}`), 'done');
    return (count / (cpuOf(pid) - before)) * 1e6;
  };
  try {
    await expectLine(issuer.next(), 'ready');
    await issue(Math.ceil(certificates / 4), 4);
    return { oneAtATime: await issue(certificates, 1), sixteenAtOnce: await issue(certificates, 16) };
  } finally {
    await issuer.stop();
  }
}

if (import.meta.main) {
  const runtime = (process.argv[2] ?? 'node') as RuntimeName;
  console.log(JSON.stringify({ runtime, ...(await measureCa({ runtime })) }, null, 2));
}
