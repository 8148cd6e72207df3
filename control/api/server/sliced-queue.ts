/** Short jobs: as many in one turn of the event loop as fit in a slice of time, one of each source in turn. */
import { turn } from '../../discovery/turn.ts';

const SLICE_MS = 5;

export class SlicedQueue {
  /** Jobs by source, that of the next job first. */
  private readonly sources = new Map<string, (() => void)[]>();
  private running = false;

  /**
   * Jobs of one source are done in their order; a source with many does not delay those of others.
   * @param source whose job it is, as an address
   * @param job must not throw
   */
  add(source: string, job: () => void): void {
    const jobs = this.sources.get(source);
    if (jobs) jobs.push(job);
    else this.sources.set(source, [job]);
    if (!this.running) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    // What comes in this turn waits for the next: reads of many sockets are one turn.
    await turn();
    while (this.sources.size > 0) {
      const until = performance.now() + SLICE_MS;
      do this.next()?.();
      while (this.sources.size > 0 && performance.now() < until);
      await turn();
    }
    this.running = false;
  }

  private next(): (() => void) | undefined {
    for (const [source, jobs] of this.sources) {
      this.sources.delete(source);
      const job = jobs.shift();
      if (jobs.length > 0) this.sources.set(source, jobs);
      return job;
    }
    return undefined;
  }
}
