/**
 * Work for many proxies in slices, each proxy at most once, and the event loop in between. There are two classes, each
 * first come, first served: proxies that are up to date but for a change, and proxies that come for the first time. While
 * both have work, each gets half of the time, so that a change does not wait behind a thousand starts, nor the reverse.
 */
import { turn } from './turn.ts';

/** What is left to do for one proxy; may be paused at every `yield`. Gives whether there is something to answer. */
export type Job = Generator<undefined, boolean, undefined>;

/** `change`: the proxy runs what was current before. `first`: it has nothing yet. */
export type PushClass = 'change' | 'first';

export interface PushQueueOptions<Key extends object> {
  /** Begins the work for a key. It must not throw, nor its steps. */
  readonly work: (key: Key) => Job;
  /** Whether a client still waits for it; asked before each slice. */
  readonly wanted: (key: Key) => boolean;
  /** The class of a key when it is queued. */
  readonly classOf: (key: Key) => PushClass;
  /** How long the event loop may be kept at a time; milliseconds. */
  readonly sliceMs?: number;
  /** Milliseconds, from any beginning. */
  readonly now?: () => number;
}

const SLICE_MS = 8;

/** So many keys of a class are worked on in turns: quick ones pass a slow one, and little is held half done. */
const AT_ONCE = 4;

interface Active<Key> {
  readonly key: Key;
  readonly awaiting: readonly (() => void)[];
  job: Job | undefined;
}

interface Lane<Key> {
  /** Waiting keys in order, each with those who await it. */
  readonly waiting: Map<Key, (() => void)[]>;
  /** Keys that are worked on; the first has the next slice. */
  readonly active: Active<Key>[];
  /** Time that was worked for the class; milliseconds. */
  usedMs: number;
}

export class PushQueue<Key extends object> {
  private readonly options: PushQueueOptions<Key>;
  private readonly sliceMs: number;
  private readonly now: () => number;
  private readonly lanes: { readonly [C in PushClass]: Lane<Key> } = { change: newLane(), first: newLane() };
  private readonly active = new Set<Key>();
  private running = false;
  private closed = false;

  constructor(options: PushQueueOptions<Key>) {
    this.options = options;
    this.sliceMs = options.sliceMs ?? SLICE_MS;
    this.now = options.now ?? (() => performance.now());
  }

  /** How many keys wait for their work to begin. */
  get length(): number {
    return this.lanes.change.waiting.size + this.lanes.first.waiting.size;
  }

  /** Queues a key, once however often it is added. */
  add(key: Key): void {
    if (this.closed) return;
    this.awaitingOf(key);
    void this.run();
  }

  /** Queues a key; resolves when its work is done, or no client wants it any more. */
  done(key: Key): Promise<void> {
    if (this.closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.awaitingOf(key).push(resolve);
      void this.run();
    });
  }

  /** Resolves all promises of `done`; work that is under way stays unfinished. */
  close(): void {
    this.closed = true;
    for (const { waiting, active } of Object.values(this.lanes)) {
      for (const awaiting of [...waiting.values(), ...active.map((item) => item.awaiting)])
        for (const resolve of awaiting) resolve();
      waiting.clear();
      active.length = 0;
    }
  }

  private awaitingOf(key: Key): (() => void)[] {
    const { change, first } = this.lanes;
    const queued = change.waiting.get(key) ?? first.waiting.get(key);
    if (queued) return queued;
    const lane = this.lanes[this.options.classOf(key)];
    // An idle class saves up no time.
    if (!isBusy(lane)) lane.usedMs = Math.max(change.usedMs, first.usedMs);
    const awaiting: (() => void)[] = [];
    lane.waiting.set(key, awaiting);
    return awaiting;
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    let until = this.now() + this.sliceMs;
    for (let lane = this.nextLane(); lane; lane = this.nextLane()) {
      const began = this.now();
      const answered = this.work(lane, until);
      const ended = this.now();
      lane.usedMs += ended - began;
      if (!answered && ended < until) continue;
      await turn();
      until = this.now() + this.sliceMs;
    }
    this.running = false;
  }

  /** The class with work that has had less time. */
  private nextLane(): Lane<Key> | undefined {
    const { change, first } = this.lanes;
    if (!this.isReady(first)) return this.isReady(change) ? change : undefined;
    return this.isReady(change) && change.usedMs <= first.usedMs ? change : first;
  }

  /** Whether there is a key to work on: one that is active in the other class has to wait. */
  private isReady({ waiting, active }: Lane<Key>): boolean {
    if (active.length > 0) return true;
    for (const key of waiting.keys()) if (!this.active.has(key)) return true;
    return false;
  }

  /** Works on one key of the class until it is done or time is up. @returns whether an answer can leave now */
  private work(lane: Lane<Key>, until: number): boolean {
    this.begin(lane);
    const item = lane.active.shift();
    if (!item) return false;
    const wanted = this.options.wanted(item.key);
    const job = wanted ? (item.job ??= this.options.work(item.key)) : item.job;
    let step = wanted ? job?.next() : job?.return(false);
    while (job && step && !step.done) {
      if (this.now() >= until) {
        lane.active.push(item);
        return false;
      }
      step = job.next();
    }
    this.active.delete(item.key);
    for (const resolve of item.awaiting) resolve();
    // Answers are put together by those who await them: that takes time, too, and they should leave at once.
    return item.awaiting.length > 0 || step?.value === true;
  }

  /** Makes the first waiting key active; one that was queued again while it is active waits until that work is done. */
  private begin({ waiting, active }: Lane<Key>): void {
    if (active.length >= AT_ONCE) return;
    for (const [key, awaiting] of waiting) {
      if (this.active.has(key)) continue;
      waiting.delete(key);
      this.active.add(key);
      active.push({ key, awaiting, job: undefined });
      return;
    }
  }
}

const newLane = <Key>(): Lane<Key> => ({ waiting: new Map(), active: [], usedMs: 0 });

function isBusy({ waiting, active }: Lane<object>): boolean {
  return waiting.size > 0 || active.length > 0;
}
