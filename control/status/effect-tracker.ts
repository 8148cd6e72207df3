/**
 * Counts on how many proxies each change is effective. A change is what was written between two views of the mesh: each session
 * that is brought up to date counts for the changes that it passes, and for those whose resources its proxy gets it waits for the ACK
 * or NACK. So the work is that of discovery itself: sessions x changes, never resources x sessions.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import type { MeshChange } from '../mesh/view.ts';
import type { Effect, RefusedBy } from './effect.ts';

/** A proxy's session. */
export type Session = object;

export interface EffectTrackerOptions {
  readonly isConnected: (session: Session) => boolean;
  /** The effect of the resource's last change is another one. */
  readonly onEffect: (resource: Resource) => void;
  readonly timing?: Partial<EffectTiming>;
}

export interface EffectTiming {
  /** From a change to the first report of how far it has come, and from its end to the last. */
  readonly firstMs: number;
  /** Between two reports of one change. */
  readonly againMs: number;
  /** A report of a change of many resources costs a write for each: so long more for each of them. */
  readonly perResourceMs: number;
}

const TIMING: EffectTiming = { firstMs: 1000, againMs: 3000, perResourceMs: 10 };

/** Kinds that are sent to proxies, and whose status is not written for other reasons all the time. */
const KINDS: ReadonlySet<string> = new Set([
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'Sidecar',
  'EnvoyFilter',
  'AuthorizationPolicy',
  'PeerAuthentication',
  'RequestAuthentication',
  'Telemetry',
  'WasmPlugin',
  'TrafficExtension',
]);

/** Changes that a session may pass at once; one that was away for longer counts for the last of them. */
const KEPT_STEPS = 256;
/** Proxies of one change whose refusals are kept with their words. */
const MAX_WORDS = 64;

/** A resource that a proxy refuses, in a version. */
export interface Refused {
  /** Of the resource in this version. */
  readonly key: string;
  /** In the proxy's words, with the resource before them. */
  readonly message: string;
}

interface Refusal extends RefusedBy {
  readonly keys: readonly string[];
}

class Change {
  /** Resources of which it is the last change, by `resourceId`. */
  readonly resources = new Map<string, Resource>();
  /** Sessions that have not been brought up to date. */
  readonly unseen: Set<Session>;
  /** Sessions that were sent other resources and have not answered, or have refused them. */
  readonly states = new Map<Session, Refusal | undefined>();
  effective = 0;
  dueAt: number;
  /** As it was when it was reported last; shared by its resources. */
  summary: Omit<Effect, 'generation'> | undefined;

  constructor(sessions: Iterable<Session>, dueAt: number) {
    this.unseen = new Set(sessions);
    this.dueAt = dueAt;
  }
}

interface Tracked {
  readonly uid: string | undefined;
  readonly generation: number;
  readonly change: Change;
}

export class EffectTracker {
  readonly #options: EffectTrackerOptions;
  readonly #timing: EffectTiming;
  readonly #tracked = new Map<string, Tracked>();
  readonly #bySteps = new Map<number, Change>();
  /** Changes for which a session waits, or which its proxy refused. */
  readonly #ofSession = new Map<Session, Set<Change>>();
  /** Keys of what a session's proxy is known to refuse. */
  readonly #refused = new Map<Session, ReadonlySet<string>>();
  /** Changes to be reported, or to be looked at again. */
  readonly #due = new Set<Change>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: EffectTrackerOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /**
   * The mesh has changed.
   * @param step number of the change, one more than that of the change before
   * @param connected the sessions that will pass it; without any there is nothing to count
   */
  changed(
    step: number,
    { written, deleted }: Pick<MeshChange, 'written' | 'deleted'>,
    connected: () => readonly Session[],
  ): void {
    for (const resource of deleted) this.#untrack(resourceId(resource));
    this.#forgetStep(step - KEPT_STEPS);
    const followed = written.filter((resource) => KINDS.has(resource.kind) && this.#isNew(resource));
    if (followed.length === 0) return;
    const sessions = connected();
    if (sessions.length === 0) return;
    const change = new Change(sessions, performance.now() + this.#timing.firstMs);
    for (const resource of followed) {
      const id = resourceId(resource);
      const { uid, generation = 1 } = resource.metadata;
      this.#untrack(id);
      this.#tracked.set(id, { uid, generation, change });
      change.resources.set(id, resource);
    }
    this.#bySteps.set(step, change);
    this.#await(change);
  }

  /** A session has passed the changes after `from` up to `to`. @param concerned its proxy is to run something else by them */
  refreshed(session: Session, from: number, to: number, concerned: boolean): void {
    for (const change of this.#between(from, to)) {
      const isLast = change.unseen.delete(session) && change.unseen.size === 0;
      if (!concerned && isLast) this.#soon(change);
      else if (concerned && !change.states.has(session)) this.#hold(session, change, undefined);
    }
  }

  /** What a session is to run could not be compiled. */
  failed(session: Session, from: number, to: number, refused: RefusedBy): void {
    for (const change of this.#between(from, to)) {
      change.unseen.delete(session);
      this.#hold(session, change, { ...refused, keys: [] });
      this.#soon(change);
    }
  }

  /** Whether `settled` has anything to do for a session that refuses nothing. */
  isAwaited(session: Session): boolean {
    return this.#ofSession.has(session) || this.#refused.has(session);
  }

  /**
   * The proxy of a session has acknowledged all that it is to run, but what it refuses. What it did not refuse before is refused
   * because of the changes that it waits for.
   */
  settled(session: Session, proxy: string, refused: readonly Refused[]): void {
    const before = this.#refused.get(session);
    const keys = new Set(refused.map(({ key }) => key));
    if (keys.size > 0) this.#refused.set(session, keys);
    else this.#refused.delete(session);
    const newly = refused.filter(({ key }) => !before?.has(key));
    const changes = this.#ofSession.get(session);
    for (const change of [...(changes ?? [])]) {
      const state = change.states.get(session);
      if (state ? state.keys.some((key) => keys.has(key)) : newly.length > 0) {
        if (!state) change.states.set(session, refusalOf(change, proxy, newly));
      } else {
        change.states.delete(session);
        change.effective += 1;
        changes?.delete(change);
      }
      this.#soon(change);
    }
    if (changes?.size === 0) this.#ofSession.delete(session);
  }

  /** A session is forgotten. */
  left(session: Session): void {
    for (const change of this.#due) if (change.unseen.delete(session)) this.#soon(change);
    for (const change of this.#ofSession.get(session) ?? []) {
      change.states.delete(session);
      this.#soon(change);
    }
    this.#ofSession.delete(session);
    this.#refused.delete(session);
  }

  /** @returns undefined: nothing is known of a change of this resource, as after a start */
  effectOf(id: string, uid: string | undefined): Effect | undefined {
    const tracked = this.#tracked.get(id);
    if (!tracked || tracked.uid !== uid) return undefined;
    const { change, generation } = tracked;
    return { generation, ...(change.summary ??= this.#summaryOf(change)) };
  }

  #summaryOf({ states, unseen, effective, resources }: Change): Omit<Effect, 'generation'> {
    const { isConnected } = this.#options;
    const waiting = [...states].filter(([session]) => isConnected(session)).map(([, state]) => state);
    const refused = waiting.filter((state) => state !== undefined);
    const incomplete = [...unseen].some(isConnected);
    return { concerned: effective + waiting.length, effective, refused, incomplete, together: resources.size - 1 };
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** The same generation once more, as with other annotations or addresses, is the same change. */
  #isNew(resource: Resource): boolean {
    const { uid, generation = 1 } = resource.metadata;
    const tracked = this.#tracked.get(resourceId(resource));
    return tracked?.uid !== uid || tracked?.generation !== generation;
  }

  #hold(session: Session, change: Change, state: Refusal | undefined): void {
    change.states.set(session, state);
    const changes = this.#ofSession.get(session);
    if (changes) changes.add(change);
    else this.#ofSession.set(session, new Set([change]));
  }

  *#between(from: number, to: number): Generator<Change> {
    for (let step = Math.max(from + 1, to - KEPT_STEPS + 1); step <= to; step++) {
      const change = this.#bySteps.get(step);
      if (change) yield change;
    }
  }

  #forgetStep(step: number): void {
    this.#bySteps.get(step)?.unseen.clear();
    this.#bySteps.delete(step);
  }

  /** A change that is the last one of no resource is not followed any more. */
  #untrack(id: string): void {
    const change = this.#tracked.get(id)?.change;
    this.#tracked.delete(id);
    if (!change) return;
    change.resources.delete(id);
    if (change.resources.size > 0) return;
    this.#due.delete(change);
    for (const session of change.states.keys()) {
      const changes = this.#ofSession.get(session);
      if (changes?.delete(change) && changes.size === 0) this.#ofSession.delete(session);
    }
  }

  #await(change: Change): void {
    if (change.resources.size === 0) return;
    this.#due.add(change);
    this.#schedule();
  }

  /** The change has come further: it is reported when it was not for a time. */
  #soon(change: Change): void {
    if (this.#due.has(change)) return;
    change.dueAt = performance.now() + this.#timing.firstMs;
    this.#await(change);
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined || this.#due.size === 0) return;
    let first = Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.#due) first = Math.min(first, dueAt);
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#report();
        this.#schedule();
      },
      Math.max(10, first - performance.now()),
    );
    this.#timer.unref?.();
  }

  #report(): void {
    const now = performance.now();
    for (const change of [...this.#due]) {
      if (change.dueAt > now) continue;
      change.summary = this.#summaryOf(change);
      for (const resource of change.resources.values()) this.#options.onEffect(resource);
      const { againMs, perResourceMs } = this.#timing;
      const isUnderWay = change.unseen.size > 0 || [...change.states.values()].some((state) => state === undefined);
      if (isUnderWay) change.dueAt = now + againMs + change.resources.size * perResourceMs;
      else this.#due.delete(change);
    }
  }
}

function refusalOf({ states }: Change, proxy: string, refused: readonly Refused[]): Refusal {
  const message = states.size <= MAX_WORDS ? refused.map((each) => each.message).join('; ') : '';
  return { proxy, message, keys: refused.map(({ key }) => key) };
}
