/** The test's side of driver.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT } from '../harness.ts';

export interface Answer {
  readonly faults: [string, string][];
  readonly ports: Record<string, number>;
  /** Resident bytes of the proxy. */
  readonly rss: number;
  /** Open downstream connections. */
  readonly active: number;
}

export class DrivenProxy {
  readonly child: ChildProcess;
  private readonly waiting: ((line: string) => void)[] = [];
  private errors = '';

  /**
   * @param drainMs how long connections of listeners that are gone may stay
   * @param filters with those of test-filters.ts
   */
  constructor(runtime: RuntimeName, drainMs: number, filters = false) {
    const [command, ...args] = runtimeCommand(runtime, join(ROOT, 'tests/proxy/driver.ts'));
    this.child = spawn(command!, [...args, String(drainMs), ...(filters ? ['filters'] : [])], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.waiting.shift()?.(line));
    this.child.stderr!.on('data', (bytes) => (this.errors += bytes));
  }

  /** @param changes of xDS resources; without: only asks */
  ask(changes?: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.child.once('close', () => reject(new Error(`the proxy ended: ${this.errors}`)));
      this.waiting.push((line) => {
        this.child.removeAllListeners('close');
        resolve(JSON.parse(line) as Answer);
      });
      this.child.stdin!.write(`${JSON.stringify(changes ? { changes } : {})}\n`);
    });
  }

  async apply(changes: object): Promise<Answer> {
    const answer = await this.ask(changes);
    if (answer.faults.length > 0) throw new Error(JSON.stringify(answer.faults));
    return answer;
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}
