/**
 * Work for many proxies in slices, each proxy at most once, and the event loop in between. There are three classes, each
 * first come, first served: proxies that use what changed, others that are up to date but for a change, and proxies that come
 * for the first time. Those that have work share the time by weights, so that a change does not wait behind a thousand starts,
 * nor the reverse.
 */
import { turn } from './turn.ts';

/** What is left to do for one proxy; may be paused at every `yield`. Gives whether there is something to answer. */
export type Job = Generator<undefined, boolean, undefined>;

/** `concerned`: the proxy uses what changed. `change`: it runs what was current before. `first`: it has nothing yet. */
export type PushClass = 'concerned' | 'change' | 'first';

export interface PushQueueOptions<Key extends object> {
  /** Begins the work for a key. It must not throw, nor its steps. */
  readonly work: (key: Key) => Job;
  /** Whether a client still waits for it; asked before each slice. */
  readonly wanted: (key: Key) => boolean;
  /** The class of a key when it is queued; one that waits in another class is moved. */
  readonly classOf: (key: Key) => PushClass;
  /** How long the event loop may be kept at a time; milliseconds. */
  readonly sliceMs?: number;
  /** Milliseconds, from any beginning. */
  readonly now?: () => number;
}

const SLICE_MS = 8;

/** Shares of the time. Proxies that use what changed wait for each other, and hardly for those that have nothing to get. */
const WEIGHTS: { readonly [C in PushClass]: number } = { concerned: 8, change: 1, first: 1 };

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
  readonly weight: number;
  /** Time that was worked for the class, divided by its weight; milliseconds. */
  usedMs: number;
}

export class PushQueue<Key extends object> {
  private readonly options: PushQueueOptions<Key>;
  private readonly sliceMs: number;
  private readonly now: () => number;
  private readonly lanes: { readonly [C in PushClass]: Lane<Key> } = {
    concerned: newLane(WEIGHTS.concerned),
    change: newLane(WEIGHTS.change),
    first: newLane(WEIGHTS.first),
  };
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
    return this.all.reduce((sum, { waiting }) => sum + waiting.size, 0);
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
    for (const { waiting, active } of this.all) {
      for (const awaiting of [...waiting.values(), ...active.map((item) => item.awaiting)])
        for (const resolve of awaiting) resolve();
      waiting.clear();
      active.length = 0;
    }
  }

  private get all(): readonly Lane<Key>[] {
    return Object.values(this.lanes);
  }

  private awaitingOf(key: Key): (() => void)[] {
    const lane = this.lanes[this.options.classOf(key)];
    const before = this.all.find(({ waiting }) => waiting.has(key));
    const awaiting = before?.waiting.get(key) ?? [];
    if (before === lane) return awaiting;
    before?.waiting.delete(key);
    // An idle class saves up no time.
    if (!isBusy(lane)) lane.usedMs = Math.max(...this.all.map(({ usedMs }) => usedMs));
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
      lane.usedMs += (ended - began) / lane.weight;
      if (!answered && ended < until) continue;
      await turn();
      until = this.now() + this.sliceMs;
    }
    this.running = false;
  }

  /** The class with work that has had the least time. */
  private nextLane(): Lane<Key> | undefined {
    let next: Lane<Key> | undefined;
    for (const lane of this.all)
      if (this.isReady(lane) && (next === undefined || lane.usedMs < next.usedMs)) next = lane;
    return next;
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

const newLane = <Key>(weight: number): Lane<Key> => ({ waiting: new Map(), active: [], weight, usedMs: 0 });

function isBusy({ waiting, active }: Lane<object>): boolean {
  return waiting.size > 0 || active.length > 0;
}
