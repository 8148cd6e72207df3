/** Keeps the latest MeshView of a ResourceStore: list, watch, rebuild after a burst, list anew when history is gone. */
import { kindKey } from '../../shared/resources/kind.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { type ResourceStore, StoreError } from '../store/store.ts';
import { buildView } from './build-view.ts';
import type { JwtSvidSettings, MeshView } from './view.ts';

export interface MeshFollowerOptions {
  /** How long a burst of writes may gather before the view is rebuilt; milliseconds. */
  debounceMs?: number;
  /** Wait before the store is asked again after it failed; milliseconds. */
  retryMs?: number;
  /** Failures that the follower survives: the store away, or mesh configuration that cannot be read. */
  onError?: (error: unknown) => void;
  /** Warnings of the mesh configuration, told when they change. */
  onWarning?: (warning: string) => void;
  /** Becomes `settings.jwtSvid` of every view. */
  jwtSvid?: JwtSvidSettings;
}

export class MeshFollower {
  readonly #store: ResourceStore;
  readonly #options: Required<Omit<MeshFollowerOptions, 'jwtSvid' | 'onWarning'>> & MeshFollowerOptions;
  readonly #resources = new Map<string, Resource>();
  readonly #listeners = new Set<(view: MeshView) => void>();
  readonly #stop = new AbortController();
  #revision = 0;
  #told: readonly string[] = [];
  #view: MeshView | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> | undefined;

  constructor(store: ResourceStore, options: MeshFollowerOptions = {}) {
    this.#store = store;
    this.#options = { debounceMs: 20, retryMs: 500, onError: () => {}, ...options };
  }

  /**
   * Resolves when the first view stands; from then on the follower runs until `stop`.
   * @throws StoreError when the store cannot be listed, MeshConfigError when the mesh configuration cannot be read
   */
  async start(): Promise<void> {
    await this.#list();
    this.#view = this.#build();
    this.#running = this.#follow();
  }

  /** @throws Error before `start` has resolved */
  current(): MeshView {
    if (!this.#view) throw new Error('the mesh view is not ready: start the follower first');
    return this.#view;
  }

  /** Calls `listener` with every new view; the returned function ends that. */
  onChange(listener: (view: MeshView) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  async #list(): Promise<void> {
    const { items, revision } = await this.#store.list({});
    this.#resources.clear();
    for (const item of items) this.#resources.set(identity(item), item);
    this.#revision = revision;
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        for await (const event of this.#store.watch({}, this.#revision, this.#stop.signal)) {
          const id = identity(event.resource);
          if (event.type === 'DELETED') this.#resources.delete(id);
          else this.#resources.set(id, event.resource);
          this.#revision = event.revision;
          this.#schedule();
        }
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  /** A watch ended: with history gone everything is listed anew, else the store is asked again after a pause. */
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

  /** The first change of a burst starts the clock, so that a steady stream of writes cannot put it off for ever. */
  #schedule(): void {
    if (this.#timer !== undefined || this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#rebuild();
    }, this.#options.debounceMs);
  }

  #build(): MeshView {
    const view = buildView([...this.#resources.values()], this.#revision);
    const { jwtSvid } = this.#options;
    this.#tellWarnings(view.settings.warnings ?? []);
    return jwtSvid ? { ...view, settings: { ...view.settings, jwtSvid } } : view;
  }

  #tellWarnings(warnings: readonly string[]): void {
    for (const warning of warnings) if (!this.#told.includes(warning)) this.#options.onWarning?.(warning);
    this.#told = warnings;
  }

  #rebuild(): void {
    let view: MeshView;
    try {
      view = this.#build();
    } catch (error) {
      // The last good view stays in force.
      this.#options.onError(error);
      return;
    }
    this.#view = view;
    for (const listener of this.#listeners) {
      try {
        listener(view);
      } catch (error) {
        this.#options.onError(error);
      }
    }
  }
}

/** Versions of one group are one resource, so only the group counts. */
function identity(resource: Resource): string {
  const group = resource.apiVersion.includes('/') ? resource.apiVersion.slice(0, resource.apiVersion.indexOf('/')) : '';
  return `${kindKey(group, resource.kind)} ${resource.metadata.namespace ?? ''}/${resource.metadata.name}`;
}
