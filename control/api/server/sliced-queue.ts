/** Short jobs, first come first served: as many in one turn of the event loop as fit in a slice of time. */
import { turn } from '../../discovery/turn.ts';

const SLICE_MS = 5;

export class SlicedQueue {
  private jobs: (() => void)[] = [];
  private running = false;

  /** @param job must not throw */
  add(job: () => void): void {
    this.jobs.push(job);
    if (!this.running) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    // What comes in this turn waits for the next: reads of many sockets are one turn.
    await turn();
    while (this.jobs.length > 0) {
      const until = performance.now() + SLICE_MS;
      let done = 0;
      while (done < this.jobs.length && (done === 0 || performance.now() < until)) this.jobs[done++]!();
      this.jobs = this.jobs.slice(done);
      await turn();
    }
    this.running = false;
  }
}
