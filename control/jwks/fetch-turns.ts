/**
 * Whose request for keys is next. Namespaces take turns, so that the slow issuers of one delay only its own: each has a share of the
 * requests under way, and so has each host.
 */

/** Requests under way at a time: in all, for one namespace, and to one host. */
export interface TurnLimits {
  readonly inAll: number;
  readonly perNamespace: number;
  readonly perHost: number;
}

const LIMITS: TurnLimits = { inAll: 16, perNamespace: 4, perHost: 2 };

interface Waiting {
  readonly host: string;
  /** Undefined once it has begun or was given up. */
  begin: ((namespace: string) => void) | undefined;
}

export class FetchTurns {
  private readonly limits: TurnLimits;
  /** By namespace, in the order in which these are next. */
  private readonly queues = new Map<string, Waiting[]>();
  private readonly running = new Counts();
  private total = 0;

  constructor(limits: TurnLimits = LIMITS) {
    this.limits = limits;
  }

  /**
   * @param namespaces those that ask for the keys: it is a turn of whichever is next, and waits for none of the others
   * @param signal ends the wait
   * @returns what ends the turn
   */
  async take(namespaces: readonly string[], host: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const waiting: Waiting = { host, begin: resolve };
    const giveUp = () => {
      waiting.begin = undefined;
      for (const namespace of namespaces) this.forget(namespace, waiting);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    for (const namespace of namespaces) {
      const queue = this.queues.get(namespace);
      if (queue) queue.push(waiting);
      else this.queues.set(namespace, [waiting]);
    }
    this.beginAll();
    const namespace = await promise.finally(() => signal?.removeEventListener('abort', giveUp));
    return () => {
      this.total -= 1;
      this.running.subtract(`namespace ${namespace}`);
      this.running.subtract(`host ${host}`);
      this.beginAll();
    };
  }

  private forget(namespace: string, waiting: Waiting): void {
    const left = this.queues.get(namespace)?.filter((one) => one !== waiting) ?? [];
    if (left.length > 0) this.queues.set(namespace, left);
    else this.queues.delete(namespace);
  }

  private beginAll(): void {
    while (this.total < this.limits.inAll && this.beginNext());
  }

  /** Begins one request of the first namespace that has one which may begin, and puts that namespace last. */
  private beginNext(): boolean {
    for (const [namespace, queue] of this.queues) {
      if (this.running.of(`namespace ${namespace}`) >= this.limits.perNamespace) continue;
      const at = queue.findIndex(({ begin, host }) => begin && this.running.of(`host ${host}`) < this.limits.perHost);
      if (at < 0) continue;
      const next = queue[at]!;
      this.begin(next, namespace);
      this.queues.delete(namespace);
      const left = queue.filter(({ begin }) => begin !== undefined);
      if (left.length > 0) this.queues.set(namespace, left);
      return true;
    }
    return false;
  }

  private begin(waiting: Waiting, namespace: string): void {
    this.total += 1;
    this.running.add(`namespace ${namespace}`);
    this.running.add(`host ${waiting.host}`);
    const { begin } = waiting;
    waiting.begin = undefined;
    begin?.(namespace);
  }
}

class Counts {
  private readonly counts = new Map<string, number>();

  of(key: string): number {
    return this.counts.get(key) ?? 0;
  }

  add(key: string): void {
    this.counts.set(key, this.of(key) + 1);
  }

  subtract(key: string): void {
    const left = this.of(key) - 1;
    if (left > 0) this.counts.set(key, left);
    else this.counts.delete(key);
  }
}
