/**
 * Listeners that the proxy refused are tried again, with back-off: a port that another process had may be free by now, and
 * what a listener needs may have come. Nothing else that is refused heals by itself.
 */
import { resourceName } from '../../shared/xds/discovery.ts';
import { Backoff } from './backoff.ts';
import type { ConfigChanges, ConfigTarget } from './config-target.ts';

export interface RefusedListenersOptions {
  /** Never throws. */
  readonly target: ConfigTarget;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
  /** Takes one line. */
  readonly log: (line: string) => void;
  /** A listener that was refused runs now. */
  readonly opened: (name: string) => void;
  /** Calls back once, after `milliseconds`. @returns cancel */
  readonly after?: ((milliseconds: number, callback: () => void) => () => void) | undefined;
}

interface Refused {
  readonly resource: unknown;
  reason: string;
}

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
/** What the reason of a refusal says besides. */
export const TRIED_AGAIN = 'it is tried again with back-off';
/** What helps in the mesh's configuration where an address cannot be had. */
export const SET_BIND =
  'where a Gateway or a Sidecar asks for it, set "bind" of its server or listener to a free address of this machine';
const ADDRESS_REFUSED = /^cannot listen on .*: the (?:port is in use|address belongs to no interface)/;

const withRemedy = (reason: string): string =>
  `${reason}; ${ADDRESS_REFUSED.test(reason) ? `${SET_BIND}; ` : ''}${TRIED_AGAIN}`;

export class RefusedListeners implements ConfigTarget {
  private readonly options: RefusedListenersOptions;
  private readonly backoff: Backoff;
  private readonly waiting = new Map<string, Refused>();
  private queue: Promise<unknown> = Promise.resolve();
  private cancel: (() => void) | undefined;
  private stopped = false;

  constructor(options: RefusedListenersOptions) {
    this.options = options;
    this.backoff = new Backoff(options.random, FIRST_MS, LONGEST_MS);
  }

  apply(changes: ConfigChanges): Promise<Map<string, string>> {
    return this.inTurn(async () => {
      const refused = new Map(await this.options.target.apply(changes));
      for (const name of changes.listeners?.remove ?? []) this.waiting.delete(name);
      let added = false;
      for (const resource of changes.listeners?.upsert ?? []) {
        const name = resourceName('listeners', resource);
        const reason = refused.get(`listeners/${name}`);
        this.waiting.delete(name);
        if (reason === undefined) continue;
        added = true;
        this.waiting.set(name, { resource, reason });
        refused.set(`listeners/${name}`, withRemedy(reason));
      }
      if (added) {
        this.backoff.reset();
        this.schedule();
      }
      return refused;
    });
  }

  stop(): void {
    this.stopped = true;
    this.cancel?.();
  }

  /** A change and an attempt at once could put an older version in the place of a newer one. */
  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.queue.then(act);
    this.queue = done.catch(() => {});
    return done;
  }

  private schedule(): void {
    this.cancel?.();
    this.cancel = undefined;
    if (this.stopped || this.waiting.size === 0) return;
    const { after = timer } = this.options;
    this.cancel = after(this.backoff.next(), () => void this.inTurn(() => this.attempt()));
  }

  private async attempt(): Promise<void> {
    if (this.stopped) return;
    const { target, opened, log } = this.options;
    const before = [...this.waiting];
    const upsert = before.map(([, { resource }]) => resource);
    const refused = await target.apply({ listeners: { upsert, remove: [] } });
    for (const [name, entry] of before) {
      const reason = refused.get(`listeners/${name}`);
      if (reason === undefined) {
        this.waiting.delete(name);
        log(`listener ${name} is open now`);
        opened(name);
      } else if (reason !== entry.reason) {
        entry.reason = reason;
        log(`config refused: listeners/${name}: ${withRemedy(reason)}`);
      }
    }
    this.schedule();
  }
}

function timer(milliseconds: number, callback: () => void): () => void {
  const handle = setTimeout(callback, milliseconds);
  return () => clearTimeout(handle);
}
