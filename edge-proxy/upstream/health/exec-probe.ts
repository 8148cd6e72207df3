/** Health checks by a command: exit code 0 is healthy (Kubernetes' exec probes). */
import type { CommandEnd, RunningCommand } from '../../runtime/runtime.ts';
import { type CheckResult, PASSED, type Probe, UNANSWERED } from './health-checker.ts';

export class ExecProbe implements Probe {
  private readonly start: () => RunningCommand;
  private readonly failed: (why: string) => void;
  private running: RunningCommand | undefined;

  /** @param failed takes why the command did not pass, in one line */
  constructor(start: () => RunningCommand, failed: (why: string) => void) {
    this.start = start;
    this.failed = failed;
  }

  check(done: (result: CheckResult) => void): () => void {
    const running = this.start();
    this.running = running;
    void running.ended.then((end) => {
      if (this.running !== running) return;
      this.running = undefined;
      if (end.code !== 0) this.failed(describe(end));
      done(end.code === 0 ? PASSED : UNANSWERED);
    });
    return () => {
      if (this.running === running) this.failed('the command takes longer than timeoutSeconds');
      this.close();
    };
  }

  close(): void {
    const { running } = this;
    this.running = undefined;
    running?.kill();
  }
}

function describe({ code, error, output }: CommandEnd): string {
  const how = error ?? `exit code ${code}`;
  return output === '' ? how : `${how}: ${output.replace(/\s+/g, ' ')}`;
}
