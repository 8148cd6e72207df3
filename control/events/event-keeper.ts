/**
 * Removes Events when their time is over, and the oldest of a namespace that has too many. Driven by the store's watch: a write
 * costs one entry of an index. Several control planes may run it on one store: each deletion requires the revision it saw.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import { type ResourceKey, type ResourceStore, StoreError, type WatchEvent } from '../store/store.ts';

export const EVENT_LIMITS = {
  /** From the last write of an event to its removal, as of a Kubernetes API server. */
  ttlSeconds: 3600,
  /** Of one namespace. */
  events: 2000,
  /** Of all events of one namespace, as JSON. */
  characters: 16 * 1024 * 1024,
} as const;

export interface EventKeeperOptions {
  readonly store: ResourceStore;
  readonly ttlMs: number;
  /** Default: EVENT_LIMITS. */
  readonly perNamespace?: { readonly events?: number; readonly characters?: number };
  readonly onError: (error: unknown) => void;
  readonly now?: () => number;
  /** Between looks for events whose time is over, milliseconds. Default: 5 s. */
  readonly sweepMs?: number;
  /** Wait after the store failed, milliseconds. */
  readonly retryMs?: number;
}

export const EVENTS = { group: '', plural: 'events' } as const;
/** Deletions at a time: they become one transaction. */
const BATCH = 64;

interface Held {
  readonly key: ResourceKey;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly characters: number;
  /** Milliseconds since the epoch. */
  readonly written: number;
}

/** Events of one namespace, the one that was written first before the others. */
class OfNamespace {
  readonly events = new Map<string, Held>();
  characters = 0;

  put(held: Held): void {
    this.remove(held.key.name);
    this.events.set(held.key.name, held);
    this.characters += held.characters;
  }

  remove(name: string): void {
    this.characters -= this.events.get(name)?.characters ?? 0;
    this.events.delete(name);
  }
}

export class EventKeeper {
  readonly #options: Required<Omit<EventKeeperOptions, 'perNamespace'>>;
  readonly #limits: { readonly events: number; readonly characters: number };
  readonly #namespaces = new Map<string, OfNamespace>();
  readonly #stopping = new AbortController();
  #following: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: EventKeeperOptions) {
    this.#options = { now: Date.now, sweepMs: 5_000, retryMs: 1_000, ...options };
    this.#limits = { ...EVENT_LIMITS, ...options.perNamespace };
  }

  /** @throws StoreError when the store cannot be listed */
  async start(): Promise<void> {
    const revision = await this.#list();
    this.#following = this.#follow(revision);
    this.#timer = setInterval(() => this.#sweep(), this.#options.sweepMs);
    this.#timer.unref?.();
    this.#sweep();
  }

  /** Resolves when the deletions that are under way have ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#timer);
    await this.#following;
    await this.#sweeping;
  }

  async #list(): Promise<number> {
    const { items, revision } = await this.#options.store.list({ kind: EVENTS });
    this.#namespaces.clear();
    const now = this.#options.now();
    const all = items.map((item) => heldOf(item, lastSeen(item, now))).sort((a, b) => a.written - b.written);
    for (const held of all) this.#put(held);
    return revision;
  }

  async #follow(from: number): Promise<void> {
    const { store, onError } = this.#options;
    const { signal } = this.#stopping;
    let revision = from;
    while (!signal.aborted) {
      try {
        for await (const event of store.watch({ kind: EVENTS }, revision, signal)) {
          this.#take(event);
          revision = event.revision;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StoreError && error.code === 'gone')) {
          onError(error);
          await pause(this.#options.retryMs, signal);
        }
        revision = await this.#list().catch(() => revision);
      }
    }
  }

  #take({ type, key, resource }: WatchEvent): void {
    if (type === 'DELETED') {
      const own = this.#namespaces.get(key.namespace);
      own?.remove(key.name);
      if (own?.events.size === 0) this.#namespaces.delete(key.namespace);
      return;
    }
    this.#put(heldOf(resource, this.#options.now()));
    if (this.#isOver(this.#namespaces.get(key.namespace)!)) this.#sweep();
  }

  #put(held: Held): void {
    const { namespace } = held.key;
    let own = this.#namespaces.get(namespace);
    if (!own) this.#namespaces.set(namespace, (own = new OfNamespace()));
    own.put(held);
  }

  #isOver({ events, characters }: OfNamespace): boolean {
    return events.size > this.#limits.events || characters > this.#limits.characters;
  }

  #sweep(): void {
    this.#sweeping ??= this.#deleteDue().finally(() => {
      this.#sweeping = undefined;
    });
  }

  async #deleteDue(): Promise<void> {
    const due = [...this.#namespaces.values()].flatMap((own) => [...this.#dueOf(own)]);
    for (let at = 0; at < due.length && !this.#stopping.signal.aborted; at += BATCH)
      await Promise.all(due.slice(at, at + BATCH).map((held) => this.#delete(held)));
  }

  /** The first of a namespace: as many as are over its limits, and those whose time is over. */
  *#dueOf(own: OfNamespace): Generator<Held> {
    const before = this.#options.now() - this.#options.ttlMs;
    let [events, characters] = [own.events.size, own.characters];
    for (const held of own.events.values()) {
      const over = events > this.#limits.events || characters > this.#limits.characters;
      if (!over && held.written > before) return;
      events -= 1;
      characters -= held.characters;
      yield held;
    }
  }

  /** One that cannot be deleted now is due at the next look; one that was written meanwhile has its time again. */
  async #delete({ key, uid, resourceVersion }: Held): Promise<void> {
    try {
      await this.#options.store.delete(key, { uid, resourceVersion });
    } catch (error) {
      const overtaken = error instanceof StoreError && ['not-found', 'conflict'].includes(error.code);
      if (!overtaken && !this.#stopping.signal.aborted) this.#options.onError(error);
    }
  }
}

function heldOf(event: Resource, written: number): Held {
  const { name, namespace = '', uid, resourceVersion } = event.metadata;
  const characters = JSON.stringify(event).length;
  return { key: { ...EVENTS, namespace, name }, uid, resourceVersion, characters, written };
}

/** Of an event that an earlier process saw written: what it says itself, but not before it was created, and not after now. */
function lastSeen(event: Resource, now: number): number {
  const { series, lastTimestamp, eventTime } = event as Resource & {
    series?: { lastObservedTime?: string };
    lastTimestamp?: string;
    eventTime?: string;
  };
  const created = Date.parse(event.metadata.creationTimestamp ?? '') || now;
  const said = Date.parse(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? '') || created;
  return Math.min(now, Math.max(created, said));
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
