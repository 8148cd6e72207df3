/** The test's side of driver.ts. */
import { join } from 'node:path';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT } from '../kit/environment.ts';
import { DrivenProgram } from '../kit/process.ts';

export interface Answer {
  readonly violations: [string, string][];
  readonly ports: Record<string, number>;
  /** Resident bytes of the proxy. */
  readonly rss: number;
  /** Open downstream connections. */
  readonly active: number;
}

export class DrivenProxy extends DrivenProgram {
  /**
   * @param drainMs how long connections of removed listeners may stay
   * @param filters with those of test-filters.ts
   */
  constructor(runtime: RuntimeName, drainMs: number, filters = false) {
    const command = runtimeCommand(runtime, join(ROOT, 'tests/proxy/driver.ts'));
    super(`driven proxy (${runtime})`, [...command, String(drainMs), ...(filters ? ['filters'] : [])]);
  }

  /** What the proxy runs, after these changes of xDS resources. */
  async state(changes?: object): Promise<Answer> {
    return JSON.parse(await this.ask(JSON.stringify({ changes }))) as Answer;
  }

  /** @throws Error with the violations where the proxy refuses the changes */
  async apply(changes: object): Promise<Answer> {
    const answer = await this.state(changes);
    if (answer.violations.length > 0) throw new Error(JSON.stringify(answer.violations));
    return answer;
  }
}
