/** Records of rollouts in the store: what was effective before a change, and how far the change has come. */
import type { Resource } from '../../shared/resources/resource.ts';
import { INTERNAL_GROUP } from '../mesh/mesh-resource.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import type { RolloutRecord } from './rollout.ts';

const PLURAL = 'rolloutrecords';

type Store = Pick<ResourceStore, 'list' | 'get' | 'create' | 'update' | 'delete'>;

const keyOf = (id: string): ResourceKey => ({
  group: INTERNAL_GROUP,
  plural: PLURAL,
  namespace: '',
  // Ids have blanks and slashes.
  name: encodeURIComponent(id),
});

/** Writes one record after the other, so that the last word on one is the last that was said. */
export class RolloutRecords {
  private readonly store: Store;
  private readonly retryMs: number;
  private readonly onError: (error: unknown) => void;
  private last: Promise<unknown> = Promise.resolve();
  /** What is to be written, by id; undefined: removed. */
  private readonly due = new Map<string, RolloutRecord | undefined>();
  private retry: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  /** @param onError takes failures of the store; what was to be written is written later */
  constructor(store: Store, onError: (error: unknown) => void = () => {}, retryMs = 1000) {
    this.store = store;
    this.onError = onError;
    this.retryMs = retryMs;
  }

  /** By `resourceId` of the target. @throws StoreError */
  async load(): Promise<Map<string, RolloutRecord>> {
    const { items } = await this.store.list({ kind: { group: INTERNAL_GROUP, plural: PLURAL } });
    return new Map(
      items.map(({ metadata, spec }) => [decodeURIComponent(metadata.name), spec as unknown as RolloutRecord]),
    );
  }

  /** Durable when it resolves. @throws StoreError */
  async saved(id: string, record: RolloutRecord): Promise<void> {
    this.due.set(id, record);
    await this.inTurn(() => this.write(id));
  }

  /** Writes soon, and again until the store takes it. */
  save(id: string, record: RolloutRecord | undefined): void {
    this.due.set(id, record);
    this.flush();
  }

  /** Resolves when what is due was written, or could not be. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    await this.last.catch(() => {});
  }

  private flush(): void {
    void this.inTurn(async () => {
      for (const id of [...this.due.keys()]) await this.write(id);
    }).catch((error: unknown) => {
      this.onError(error);
      if (this.closed) return;
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.flush(), this.retryMs);
      this.retry.unref?.();
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.last.then(work, work);
    this.last = next.catch(() => {});
    return next;
  }

  private async write(id: string): Promise<void> {
    if (!this.due.has(id)) return;
    const record = this.due.get(id);
    await (record ? this.put(id, record) : this.remove(id));
    // Not where another one came meanwhile.
    if (this.due.get(id) === record) this.due.delete(id);
  }

  private async put(id: string, record: RolloutRecord): Promise<void> {
    const key = keyOf(id);
    const resource = {
      apiVersion: `${INTERNAL_GROUP}/v1`,
      kind: 'RolloutRecord',
      metadata: { name: key.name },
      // Plain data, without fields that are undefined.
      spec: JSON.parse(JSON.stringify(record)) as unknown,
    } satisfies Resource;
    if (await this.store.get(key)) await this.store.update(key, resource);
    else await this.store.create(key, resource);
  }

  private async remove(id: string): Promise<void> {
    try {
      await this.store.delete(keyOf(id));
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'not-found')) throw error;
    }
  }
}
