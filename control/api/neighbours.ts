/** Warnings of a write that depend on other resources in the store. */
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import { AddressIndex, hasPlaces, sharedAddressWarnings } from '../mesh/shared-addresses.ts';
import type { ResourceStore } from '../store/store.ts';

/** How long a write waits for the store's events before it is answered without these warnings. */
const WAIT_MS = 1000;

/** An index and how far it has come. */
class Following {
  readonly index = new AddressIndex();
  private revision: number;
  private readonly waiting = new Set<() => void>();

  constructor(items: readonly Resource[], revision: number) {
    for (const item of items) this.index.put(item);
    this.revision = revision;
  }

  /** Keeps the index until the watch ends: the store is closed, or its history is gone. */
  async run(store: ResourceStore): Promise<void> {
    for await (const { type, resource, revision } of store.watch({}, this.revision, new AbortController().signal)) {
      if (type === 'DELETED') this.index.delete(resource);
      else this.index.put(resource);
      this.revision = revision;
      for (const moved of this.waiting) moved();
    }
  }

  /** Whether the index reaches `revision` in time. */
  reaches(revision: number): Promise<boolean> | boolean {
    if (this.revision >= revision) return true;
    return new Promise((resolve) => {
      const settle = (reached: boolean) => {
        clearTimeout(timer);
        this.waiting.delete(moved);
        resolve(reached);
      };
      const moved = () => {
        if (this.revision >= revision) settle(true);
      };
      const timer = setTimeout(() => settle(false), WAIT_MS);
      this.waiting.add(moved);
    });
  }
}

/**
 * An index of the store by address, kept from the store's events. The mesh view has one too, but it is up to a debounce
 * behind: the second of two quick writes would not be warned of the first. This one is read at the store's own revision.
 */
export class Neighbours {
  private readonly store: ResourceStore;
  private following: Promise<Following> | undefined;

  constructor(store: ResourceStore) {
    this.store = store;
  }

  /**
   * The warnings that every write answered before this one calls for. They are advice: where the store cannot be
   * followed in time there are none. The first call lists the store; later ones cost one look-up for each address.
   */
  async warnings(resource: Resource): Promise<Violation[]> {
    if (!hasPlaces(resource)) return [];
    const following = await (this.following ??= this.follow());
    if (!(await following.reaches(await this.store.revision()))) return [];
    return sharedAddressWarnings(resource, following.index);
  }

  /** Lists the store now, so that no write waits for it: a large store takes a third of a second. @throws StoreError */
  async prepare(): Promise<void> {
    await (this.following ??= this.follow());
  }

  private async follow(): Promise<Following> {
    try {
      const { items, revision } = await this.store.list({});
      const following = new Following(items, revision);
      // What ended the watch is reported to those who read and write; the next write lists the store again.
      const ended = () => {
        this.following = undefined;
      };
      following.run(this.store).then(ended, ended);
      return following;
    } catch (error) {
      this.following = undefined;
      throw error;
    }
  }
}
