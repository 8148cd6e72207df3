/**
 * Writes Events of the control plane's own: at once when something happens first, its count later, so that what happens often
 * costs few writes. Events are advice: what cannot be written is reported, and left out.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { type Counted, EventCounter, type ObjectReference, type Occurrence } from './event-counter.ts';
import { EVENTS } from './event-keeper.ts';

export interface EventRecorderOptions {
  readonly store: Pick<ResourceStore, 'get' | 'create' | 'update'>;
  /** Where the object of a reference is stored; undefined: it is of no kind that is. */
  readonly keyOf: (reference: Resource) => ResourceKey | undefined;
  /** Host of this control plane, for `source.host` and `reportingInstance`. */
  readonly host: string;
  /** How long events live, milliseconds. */
  readonly ttlMs: number;
  readonly onError: (error: unknown) => void;
  readonly now?: () => number;
  /** From an occurrence to its write, milliseconds. */
  readonly gatherMs?: number;
  /** Between two writes of one event, milliseconds. */
  readonly againMs?: number;
}

export const COMPONENT = 'tulle';
/** Events that wait to be written; further ones are left out. */
const MAX_WAITING = 1024;
/** Written together; the store makes one transaction of them. */
const BATCH = 32;

interface Waiting {
  readonly counted: Counted;
  /** Milliseconds since the epoch. */
  readonly dueAt: number;
}

interface Stored {
  readonly key: ResourceKey;
  readonly writtenAt: number;
}

export class EventRecorder {
  readonly #options: Required<EventRecorderOptions>;
  readonly #counter = new EventCounter();
  readonly #waiting = new Map<Counted, Waiting>();
  /** Forgotten with the counter's own entry. */
  readonly #stored = new WeakMap<Counted, Stored>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(options: EventRecorderOptions) {
    this.#options = { now: Date.now, gatherMs: 100, againMs: 10_000, ...options };
  }

  /** Costs look-ups in maps; the write follows. */
  record(occurrence: Occurrence): void {
    if (this.#closed) return;
    const { now, ttlMs, gatherMs, againMs } = this.#options;
    const at = now();
    const counted = this.#counter.take(occurrence, at, ttlMs);
    if (!counted || this.#waiting.has(counted) || this.#waiting.size >= MAX_WAITING) return;
    const writtenAt = this.#stored.get(counted)?.writtenAt ?? Number.NEGATIVE_INFINITY;
    this.#waiting.set(counted, { counted, dueAt: Math.max(at + gatherMs, writtenAt + againMs) });
    this.#schedule();
  }

  /** Writes nothing more; resolves when the write that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#waiting.clear();
    await this.#writing;
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined || this.#waiting.size === 0) return;
    const delay = this.#options.gatherMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing ??= this.#writeDue().finally(() => {
        this.#writing = undefined;
        this.#schedule();
      });
    }, delay);
    this.#timer.unref?.();
  }

  async #writeDue(): Promise<void> {
    const now = this.#options.now();
    const due: Counted[] = [];
    for (const { counted, dueAt } of this.#waiting.values()) if (dueAt <= now && due.length < BATCH) due.push(counted);
    for (const counted of due) this.#waiting.delete(counted);
    await Promise.all(due.map((counted) => this.#write(counted, now)));
  }

  async #write(counted: Counted, now: number): Promise<void> {
    try {
      const stored = this.#stored.get(counted);
      const key = (stored && (await this.#count(stored.key, counted))) ?? (await this.#create(counted));
      if (key) this.#stored.set(counted, { key, writtenAt: now });
    } catch (error) {
      if (!this.#closed) this.#options.onError(error);
    }
  }

  /** @returns undefined: the event is not there any more */
  async #count(key: ResourceKey, { count, last }: Counted): Promise<ResourceKey | undefined> {
    const { store } = this.#options;
    const event = await store.get(key);
    if (!event) return undefined;
    try {
      await store.update(key, { ...event, count, lastTimestamp: timestamp(last) } as Resource);
      return key;
    } catch (error) {
      if (error instanceof StoreError && error.code === 'not-found') return undefined;
      // A conflict: another writer was first, and the next occurrence counts again.
      if (error instanceof StoreError && error.code === 'conflict') return key;
      throw error;
    }
  }

  /** @returns undefined: the namespace does not exist, or is being deleted */
  async #create(counted: Counted): Promise<ResourceKey | undefined> {
    const { store, host } = this.#options;
    const { occurrence, count, first, last } = counted;
    const about = await this.#resolved(occurrence.about);
    const namespace = about.namespace || 'default';
    const found = await store.get({ group: '', plural: 'namespaces', namespace: '', name: namespace });
    if (!found || found.metadata.deletionTimestamp !== undefined) return undefined;
    const name = nameOf(about.name, first);
    const key = { ...EVENTS, namespace, name };
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: about,
      reason: occurrence.reason,
      message: occurrence.message,
      type: occurrence.type,
      source: { component: COMPONENT, host },
      firstTimestamp: timestamp(first),
      lastTimestamp: timestamp(last),
      count,
      reportingComponent: COMPONENT,
      reportingInstance: host,
    };
    await store.create(key, event as Resource);
    return key;
  }

  /** With the uid, by which `kubectl describe` finds an object's events. */
  async #resolved(about: ObjectReference): Promise<ObjectReference> {
    if (about.uid !== undefined || about.apiVersion === undefined) return withoutUndefined(about);
    const { apiVersion, kind, namespace, name } = about;
    const key = this.#options.keyOf({ apiVersion, kind, metadata: { name, ...(namespace && { namespace }) } });
    const { uid, resourceVersion } = (key && (await this.#options.store.get(key)))?.metadata ?? {};
    return withoutUndefined({ ...about, uid, resourceVersion });
  }
}

const withoutUndefined = (about: ObjectReference): ObjectReference =>
  Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined && value !== '')) as never;

let made = 0;

/** As client-go names events: the object's name and a number; what no name of a resource may hold is left out. */
function nameOf(object: string, at: number): string {
  const base = object
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, 200);
  made = (made + 1) % 0x10000;
  return `${base.replace(/[-.]+$/, '') || 'mesh'}.${at.toString(16)}${made.toString(16).padStart(4, '0')}`;
}

/** RFC 3339 with seconds, as Kubernetes writes it. */
const timestamp = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
