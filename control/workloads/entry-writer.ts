/** Writes the WorkloadEntries of registered machines. Those that registration did not make are never touched. */
import type { Resource } from '../../shared/resources/resource.ts';
import { type Condition, conditionsOf } from '../mesh/workload/workload-health.ts';
import { ENTRY_RECORDS } from '../mesh/workload/workload-records.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { isRegistered } from './workload-entry.ts';

const KIND = { group: 'networking.istio.io', plural: 'workloadentries' };
/** The second machine of an address: condition of the first one's entry. */
export const ADDRESS_CONFLICT = 'AddressConflict';
/** A write that meets another one reads again. */
const ATTEMPTS = 5;

export type EntryStore = Pick<ResourceStore, 'get' | 'list' | 'create' | 'update' | 'updateStatus' | 'delete'>;

export const entryKey = (namespace: string, name: string): ResourceKey => ({ ...KIND, namespace, name });

export class EntryWriter {
  private readonly store: EntryStore;

  constructor(store: EntryStore) {
    this.store = store;
  }

  async registered(): Promise<Resource[]> {
    return (await this.store.list({ kind: KIND })).items.filter(isRegistered);
  }

  /** Makes the entry, or brings the one that is there to what it should be. @returns whether it was made; undefined: it is hand-written */
  put(entry: Resource): Promise<'created' | 'updated' | undefined> {
    const key = keyOf(entry);
    return attempt(async () => {
      const stored = await this.store.get(key);
      if (!stored) {
        await this.store.create(key, entry);
        return 'created';
      }
      if (!isRegistered(stored)) return undefined;
      const annotations: Record<string, string> = { ...stored.metadata.annotations, ...entry.metadata.annotations };
      delete annotations[ENTRY_RECORDS.disconnectedAt];
      const { uid, resourceVersion } = stored.metadata;
      const metadata = {
        ...entry.metadata,
        annotations,
        ...(uid && { uid }),
        ...(resourceVersion && { resourceVersion }),
      };
      await this.store.update(key, { ...entry, metadata });
      return 'updated';
    });
  }

  /** The entry, where registration made it. */
  async stored(key: ResourceKey): Promise<Resource | undefined> {
    const stored = await this.store.get(key);
    return stored && isRegistered(stored) ? stored : undefined;
  }

  /** @param controller that it is connected to, else nothing is written @returns whether it was */
  async disconnected(key: ResourceKey, at: Date, controller: string): Promise<boolean> {
    return attempt(async () => {
      const stored = await this.stored(key);
      if (stored?.metadata.annotations?.[ENTRY_RECORDS.controller] !== controller) return false;
      const annotations: Record<string, string> = { ...stored.metadata.annotations };
      annotations[ENTRY_RECORDS.disconnectedAt] = at.toISOString();
      delete annotations[ENTRY_RECORDS.connectedAt];
      await this.store.update(key, { ...stored, metadata: { ...stored.metadata, annotations } });
      return true;
    });
  }

  /** @param mayRemove judges the entry as it is @returns whether it was there, and registration had made it */
  async remove(key: ResourceKey, mayRemove: (entry: Resource) => boolean): Promise<boolean> {
    return attempt(async () => {
      const stored = await this.stored(key);
      if (!stored || !mayRemove(stored)) return false;
      const { uid, resourceVersion } = stored.metadata;
      await this.store.delete(key, { uid, resourceVersion });
      return true;
    });
  }

  /** Sets a condition of the entry, or without `condition` removes that of the type. */
  async setCondition(key: ResourceKey, type: string, condition: Condition | undefined): Promise<void> {
    await attempt(async () => {
      const stored = await this.store.get(key);
      if (!stored) return;
      const all = conditionsOf(stored);
      const others = all.filter((each) => each.type !== type);
      if (!condition && others.length === all.length) return;
      const conditions = condition ? [...others, condition] : others;
      const { conditions: _, ...rest } = (stored.status ?? {}) as { conditions?: unknown };
      const status = conditions.length > 0 ? { ...rest, conditions } : rest;
      const { uid, resourceVersion } = stored.metadata;
      const isEmpty = Object.keys(status).length === 0;
      await this.store.updateStatus(key, isEmpty ? undefined : status, { uid, resourceVersion });
    });
  }
}

const keyOf = ({ metadata }: Resource) => entryKey(metadata.namespace ?? '', metadata.name);

async function attempt<T>(write: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS; ; left--) {
    try {
      return await write();
    } catch (error) {
      const isRace = error instanceof StoreError && error.code !== 'unavailable' && error.code !== 'gone';
      if (!isRace || left <= 1) throw error;
    }
  }
}
