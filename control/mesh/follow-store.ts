/** Keeps the latest MeshView of a ResourceStore: list, watch, one step of the mesh a burst, list again when history is gone. */
import type { Resource } from '../../shared/resources/resource.ts';
import { type ResourceStore, StoreError, type WatchEvent } from '../store/store.ts';
import { namespaceOf } from './fields.ts';
import type { KeySets } from './key-sets.ts';
import { MeshIndex } from './mesh-index.ts';
import { isOfMesh, isSameInMesh, meshForm, resourceId } from './mesh-resource.ts';
import type { GateStep, RevisionGate, Revisions } from './revisions/revision-gate.ts';
import type { Replacement } from './revisions/variant.ts';
import type { JwtSvidSettings, MeshChange, MeshUpdate, MeshView } from './view.ts';

export interface MeshFollowerOptions {
  /** A burst of writes ends after this long without one; milliseconds. Default 10. */
  quietMs?: number;
  /** A burst becomes a view this long after its first write at the latest; milliseconds. Default 100. */
  maxMs?: number;
  /** Wait before the store is asked again after it failed; milliseconds. */
  retryMs?: number;
  /** Failures that the follower survives: the store away, or mesh configuration that cannot be read. */
  onError?: (error: unknown) => void;
  /** Warnings of the mesh configuration, reported when they change. */
  onWarning?: (warning: string) => void;
  /** Becomes `settings.jwtSvid` of every view. */
  jwtSvid?: JwtSvidSettings;
  /** Becomes `settings.multipleAuthorizers` of every view. */
  multipleAuthorizers?: boolean;
  /** Decides which revisions are effective. Default: those that are stored. */
  gate?: RevisionGate;
}

export type MeshListener = (view: MeshView, change: MeshChange) => void;

export class MeshFollower {
  readonly #store: ResourceStore;
  readonly #options: Required<Omit<MeshFollowerOptions, 'jwtSvid' | 'multipleAuthorizers' | 'onWarning' | 'gate'>> &
    MeshFollowerOptions;
  readonly #index: MeshIndex;
  /** What the index holds: the effective revisions. */
  readonly #resources = new Map<string, Resource>();
  /** What has been written since the last step; undefined: deleted. */
  readonly #pending = new Map<string, Resource | undefined>();
  readonly #listeners = new Set<MeshListener>();
  readonly #stop = new AbortController();
  #revision = 0;
  #warned: readonly string[] = [];
  #view: MeshView | undefined;
  /** Keys came that no view has. */
  #keysCame = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #burstBegan = 0;
  #lastWrite = 0;
  #running: Promise<void> | undefined;

  constructor(store: ResourceStore, options: MeshFollowerOptions = {}) {
    this.#store = store;
    this.#options = { quietMs: 10, maxMs: 100, retryMs: 500, onError: () => {}, ...options };
    const { jwtSvid, multipleAuthorizers = false } = options;
    this.#index = new MeshIndex({ multipleAuthorizers, ...(jwtSvid && { jwtSvid }) });
    if (options.gate) options.gate.onDue = () => this.#view && this.#schedule();
  }

  /**
   * Resolves when the first view stands; from then on the follower runs until `stop`.
   * @throws StoreError when the store cannot be listed, MeshConfigError when the mesh configuration cannot be read
   */
  async start(): Promise<void> {
    await this.#list();
    this.#step();
    this.#running = this.#follow();
  }

  /** @throws Error before `start` has resolved */
  current(): MeshView {
    if (!this.#view) throw new Error('the mesh view is not ready: start the follower first');
    return this.#view;
  }

  /** The current view with other revisions of some resources; see `MeshIndex.variant`. */
  variant(key: string, replacements: readonly Replacement[]): MeshView {
    return this.#index.variant(key, replacements);
  }

  /** Calls `listener` with every new view and what it changed; the returned function ends that. */
  onChange(listener: MeshListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Other keys of token issuers: they are part of the next view, which comes as after a write. */
  setKeySets(keySets: KeySets): void {
    this.#index.setKeySets(keySets);
    this.#keysCame = true;
    if (this.#view) this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  /** Makes pending whatever the store holds in another version than the index does. */
  async #list(): Promise<void> {
    const { items, revision } = await this.#store.list({});
    this.#pending.clear();
    const listed = new Set<string>();
    for (const item of items) {
      if (!isOfMesh(item)) continue;
      const id = resourceId(item);
      const resource = meshForm(item);
      const before = this.#resources.get(id);
      listed.add(id);
      if (!before || !isSameInMesh(before, resource)) this.#pending.set(id, resource);
    }
    for (const id of this.#resources.keys()) if (!listed.has(id)) this.#pending.set(id, undefined);
    this.#revision = revision;
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        for await (const event of this.#store.watch({}, this.#revision, this.#stop.signal)) {
          if (this.#take(event)) this.#schedule();
          this.#revision = event.revision;
        }
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  /** @returns whether the mesh is another one by the event */
  #take({ type, resource: written }: WatchEvent): boolean {
    if (!isOfMesh(written)) return false;
    const id = resourceId(written);
    if (type === 'DELETED') {
      this.#pending.set(id, undefined);
      return true;
    }
    const resource = meshForm(written);
    const before = this.#pending.has(id) ? this.#pending.get(id) : this.#resources.get(id);
    if (before && isSameInMesh(before, resource)) return false;
    this.#pending.set(id, resource);
    return true;
  }

  /** A watch ended: with history gone everything is listed again, else the store is asked again after a pause. */
  async #recover(error: unknown): Promise<void> {
    if (this.#stop.signal.aborted) return;
    try {
      if (!(error instanceof StoreError && error.code === 'gone')) {
        this.#options.onError(error);
        await this.#pause();
      }
      if (this.#stop.signal.aborted) return;
      await this.#list();
      this.#schedule();
    } catch (failure) {
      this.#options.onError(failure);
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, this.#options.retryMs);
      signal.addEventListener('abort', done);
    });
  }

  /** Waits until the burst is over, or has lasted `maxMs`: a steady stream of writes cannot put the view off. */
  #schedule(): void {
    if (this.#stop.signal.aborted) return;
    this.#lastWrite = performance.now();
    if (this.#timer !== undefined) return;
    this.#burstBegan = this.#lastWrite;
    this.#arm(this.#options.quietMs);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => {
      const now = performance.now();
      const left = Math.min(
        this.#lastWrite + this.#options.quietMs - now,
        this.#burstBegan + this.#options.maxMs - now,
      );
      if (left > 0) return this.#arm(left);
      this.#timer = undefined;
      this.#publish();
    }, ms);
  }

  /**
   * @returns undefined: nothing became effective
   * @throws MeshConfigError when the mesh configuration cannot be read: what was written stays pending
   */
  #step(): MeshChange | undefined {
    const { gate } = this.#options;
    const gated = gate?.step(this.#pending, this.#resources);
    const effective = gated?.effective ?? this.#pending;
    if (this.#view && !this.#keysCame && gated && effective.size + gated.moved.length === 0) {
      this.#pending.clear();
      return undefined;
    }
    let stepped: { view: MeshView; change: MeshChange };
    try {
      stepped = this.#index.apply(this.#update(effective), this.#revision);
    } catch (error) {
      if (!this.#view || !gated?.moved.length) throw error;
      // What was reverted is reverted, whatever else is wrong.
      this.#options.onError(error);
      return withMoved(NO_CHANGE, gated.moved);
    }
    const { view } = stepped;
    const change = gated ? withMoved(stepped.change, gated.moved) : stepped.change;
    for (const [id, resource] of effective)
      if (resource) this.#resources.set(id, resource);
      else this.#resources.delete(id);
    this.#pending.clear();
    this.#keysCame = false;
    this.#view = view;
    this.#warn(view.settings.warnings ?? []);
    return change;
  }

  #update(effective: Revisions): MeshUpdate {
    const removed: Resource[] = [];
    const added: Resource[] = [];
    for (const [id, resource] of effective) {
      const before = this.#resources.get(id);
      if (before) removed.push(before);
      if (resource) added.push(resource);
    }
    return { removed, added };
  }

  #warn(warnings: readonly string[]): void {
    for (const warning of warnings) if (!this.#warned.includes(warning)) this.#options.onWarning?.(warning);
    this.#warned = warnings;
  }

  #publish(): void {
    let change: MeshChange | undefined;
    try {
      change = this.#step();
    } catch (error) {
      // The last good view stays in force.
      this.#options.onError(error);
      return;
    }
    if (!change) return;
    for (const listener of this.#listeners) {
      try {
        listener(this.current(), change);
      } catch (error) {
        this.#options.onError(error);
      }
    }
  }
}

const NO_CHANGE: MeshChange = {
  resources: new Map(),
  written: [],
  deleted: [],
  services: new Set(),
  endpoints: new Set(),
  settings: false,
};

/** The change of a step, with what became another one for some proxies alone. */
function withMoved(change: MeshChange, moved: GateStep['moved']): MeshChange {
  if (moved.length === 0) return change;
  const resources = new Map([...change.resources].map(([kind, keys]) => [kind, new Set(keys)]));
  for (const { resource } of moved) {
    const keys = resources.get(resource.kind) ?? new Set();
    keys.add(`${namespaceOf(resource)}/${resource.metadata.name}`);
    resources.set(resource.kind, keys);
  }
  const of = (wanted: string) => moved.filter(({ how }) => how === wanted).map(({ resource }) => resource);
  return {
    ...change,
    resources,
    written: [...change.written, ...of('written')],
    deleted: [...change.deleted, ...of('deleted')],
  };
}
