/**
 * The certificate authority by itself: X.509-SVIDs for CSRs such as proxies send. Run alone:
 * `node control/cli/bin.mjs --script tests/bench/control/ca.ts [runtime]`.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type RuntimeName, runtimeCommand } from '../../../control/cli/runtimes.mjs';
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
  const [command = '', ...args] = runtimeCommand(runtime, fileURLToPath(new URL('./ca.child.ts', import.meta.url)));
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const expectLine = async (wanted: string) => {
    const { value } = await lines.next();
    if (value !== wanted) throw new Error(`the issuing process wrote ${JSON.stringify(value)}, not "${wanted}"`);
  };
  const issue = async (count: number, together: number) => {
    const before = cpuOf(child.pid!);
    child.stdin.write(`${count} ${together}\n`);
    await expectLine('done');
    return (count / (cpuOf(child.pid!) - before)) * 1e6;
  };
  try {
    await expectLine('ready');
    await issue(Math.ceil(certificates / 4), 4);
    return { oneAtATime: await issue(certificates, 1), sixteenAtOnce: await issue(certificates, 16) };
  } finally {
    child.stdin.end();
    child.kill();
  }
}

if (import.meta.main) {
  const runtime = (process.argv[2] ?? 'node') as RuntimeName;
  console.log(JSON.stringify({ runtime, ...(await measureCa({ runtime })) }, null, 2));
}
