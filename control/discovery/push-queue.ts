/** Work for many proxies in slices: first come, first served, each proxy at most once, and the event loop in between. */

/** What is left to do for one proxy; may be paused at every `yield`. Gives whether there is something to answer. */
export type Job = Generator<undefined, boolean, undefined>;

export interface PushQueueOptions<Key extends object> {
  /** Begins the work for a key. It must not throw, nor its steps. */
  readonly work: (key: Key) => Job;
  /** Whether a session still needs it; called before each slice. */
  readonly wanted: (key: Key) => boolean;
  /** How long the event loop may be kept at a time; milliseconds. */
  readonly sliceMs?: number;
}

const SLICE_MS = 8;

export class PushQueue<Key extends object> {
  private readonly options: PushQueueOptions<Key>;
  private readonly sliceMs: number;
  /** Waiting keys in order, each with those who await it. */
  private readonly waiting = new Map<Key, (() => void)[]>();
  private running = false;
  private closed = false;

  constructor(options: PushQueueOptions<Key>) {
    this.options = options;
    this.sliceMs = options.sliceMs ?? SLICE_MS;
  }

  /** How many keys wait. */
  get length(): number {
    return this.waiting.size;
  }

  /** Queues a key, once however often it is added. */
  add(key: Key): void {
    if (this.closed) return;
    if (!this.waiting.has(key)) this.waiting.set(key, []);
    void this.run();
  }

  /** Queues a key; resolves when its work is done, or no session needs it any more. */
  done(key: Key): Promise<void> {
    if (this.closed) return Promise.resolve();
    return new Promise((resolve) => {
      const awaiting = this.waiting.get(key);
      if (awaiting) awaiting.push(resolve);
      else this.waiting.set(key, [resolve]);
      void this.run();
    });
  }

  /** Lets everybody go; what runs is left where it is. */
  close(): void {
    this.closed = true;
    for (const awaiting of this.waiting.values()) for (const resolve of awaiting) resolve();
    this.waiting.clear();
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    let until = performance.now() + this.sliceMs;
    for (;;) {
      const next = this.waiting.entries().next().value;
      if (!next) break;
      const [key, awaiting] = next;
      this.waiting.delete(key);
      const job = this.options.wanted(key) ? this.options.work(key) : undefined;
      let step = job?.next();
      while (job && step && !step.done) {
        if (performance.now() >= until) {
          await turn();
          until = performance.now() + this.sliceMs;
          if (this.closed || !this.options.wanted(key)) {
            job.return(false);
            break;
          }
        }
        step = job.next();
      }
      for (const resolve of awaiting) resolve();
      // Answers are put together by those who await them: that takes time, too, and they should leave at once.
      const answered = awaiting.length > 0 || step?.value === true;
      if (!answered && performance.now() < until) continue;
      await turn();
      until = performance.now() + this.sliceMs;
    }
    this.running = false;
  }
}

/** Lets the event loop do what has come up: reads, timers, other requests. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
