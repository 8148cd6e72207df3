/**
 * Brings deletions to their end: namespaces are emptied, owners wait for their dependents or leave them, resources without an
 * owner go. Driven by the store's watch alone, so that nothing is lost at a restart: the first list shows all that is due.
 * Several control planes may run it on one store: each write requires the revision that was read.
 */
import type { Kind } from '../../shared/resources/kind.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { type ResourceKey, type ResourceStore, StoreError, type WatchEvent } from '../store/store.ts';
import { type GarbageDependencies, settle } from './garbage.ts';
import { idOf, isNamespaceKey, OwnerIndex } from './owner-index.ts';
import { emptyNamespace } from './terminating-namespace.ts';

export interface ObjectLifeOptions {
  readonly store: ResourceStore;
  readonly kindOf: (apiVersion: string, kind: string) => Kind | undefined;
  /** Where a resource is stored; undefined: of no kind that is. */
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  /** Resources that no garbage collection deletes. */
  readonly isProtected?: (key: ResourceKey) => boolean;
  readonly now?: () => Date;
  /** Wait after the store failed; milliseconds. */
  readonly retryMs?: number;
  readonly onError?: (error: unknown) => void;
}

export class ObjectLife {
  private readonly options: Required<ObjectLifeOptions>;
  private readonly index = new OwnerIndex();
  private readonly garbage: GarbageDependencies;
  private readonly stopping = new AbortController();
  /** Resources to look at, in order; one that is there already is looked at once. */
  private readonly queue = new Map<string, ResourceKey>();
  private working: Promise<void> | undefined;
  private following: Promise<void> | undefined;

  constructor(options: ObjectLifeOptions) {
    this.options = { isProtected: () => false, now: () => new Date(), retryMs: 1000, onError: () => {}, ...options };
    const { store, kindOf, now } = this.options;
    this.garbage = { store, index: this.index, kindOf, now };
  }

  /** @throws StoreError when the store cannot be listed */
  async start(): Promise<void> {
    const revision = await this.list();
    this.following = this.follow(revision);
  }

  /** Resolves when the write that is under way has ended. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.queue.clear();
    await this.following;
    await this.working;
  }

  private async list(): Promise<number> {
    const { items, revision } = await this.options.store.list({});
    this.index.clear();
    for (const item of items) {
      const key = this.options.keyOf(item);
      if (key && this.index.put(key, item)) this.enqueue(key);
    }
    return revision;
  }

  private async follow(from: number): Promise<void> {
    let revision = from;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        for await (const event of this.options.store.watch({}, revision, signal)) {
          this.take(event);
          revision = event.revision;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StoreError && error.code === 'gone')) {
          this.options.onError(error);
          await this.pause();
        }
        revision = await this.list().catch(() => revision);
      }
    }
  }

  private take({ type, key, resource }: WatchEvent): void {
    const waiting = this.index.waitingFor(key);
    if (type !== 'DELETED') {
      if (this.index.put(key, resource)) this.enqueue(key);
    } else {
      this.index.remove(key);
      for (const dependent of this.index.dependentsOf(resource.metadata.uid ?? '')) this.enqueue(dependent);
      if (isNamespaceKey(key)) this.enqueue(key);
    }
    for (const each of waiting) this.enqueue(each);
    // What was created while its namespace was marked.
    if (type === 'ADDED') for (const each of this.index.waitingFor(key)) this.enqueue(each);
  }

  private enqueue(key: ResourceKey): void {
    if (this.stopping.signal.aborted) return;
    this.queue.set(idOf(key), key);
    this.working ??= this.work().finally(() => {
      this.working = undefined;
      // Enqueued between the last look at the queue and now.
      const next = this.queue.values().next().value;
      if (next) this.enqueue(next);
    });
  }

  private async work(): Promise<void> {
    for (let next = this.queue.entries().next(); !next.done; next = this.queue.entries().next()) {
      const [id, key] = next.value;
      this.queue.delete(id);
      await this.attempt(key);
      if (this.stopping.signal.aborted) return;
    }
  }

  private async attempt(key: ResourceKey): Promise<void> {
    try {
      const further = await this.settle(key);
      for (const each of further) this.enqueue(each);
    } catch (error) {
      const code = error instanceof StoreError ? error.code : undefined;
      if (code === 'not-found' || this.stopping.signal.aborted) return;
      if (code !== 'conflict') {
        this.options.onError(error);
        await this.pause();
      }
      // After a conflict the next attempt reads what another write left.
      this.enqueue(key);
    }
  }

  private async settle(key: ResourceKey): Promise<readonly ResourceKey[]> {
    const { store, isProtected } = this.options;
    if (isProtected(key)) return [];
    const stored = await store.get(key);
    if (isNamespaceKey(key) && (!stored || stored.metadata.deletionTimestamp !== undefined)) {
      if (stored?.metadata.finalizers?.length) await settle(this.garbage, key, stored);
      await emptyNamespace(this.options, key.name);
      return [];
    }
    return stored ? settle(this.garbage, key, stored) : [];
  }

  private pause(): Promise<void> {
    const { signal } = this.stopping;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, this.options.retryMs);
      signal.addEventListener('abort', done);
    });
  }
}
