/** Which services have an endpoint at an address: an immutable map in buckets, so that an edit copies little. */
import { compare, keepIdentity, replaced } from './sorted-list.ts';
import type { MeshEndpoint, MeshService } from './view.ts';

const BUCKETS = 256;
const NONE: readonly MeshService[] = [];
type Bucket = ReadonlyMap<string, readonly MeshService[]>;

export class AddressIndex {
  private readonly buckets: readonly (Bucket | undefined)[];

  constructor(buckets: readonly (Bucket | undefined)[] = []) {
    this.buckets = buckets;
  }

  /** Services of `namespace` with an endpoint at `address`, by host name. */
  at(address: string, namespace: string): readonly MeshService[] {
    const key = keyOf(address, namespace);
    return this.buckets[bucketOf(key)]?.get(key) ?? NONE;
  }

  edited(edit: AddressEdit): AddressIndex {
    const buckets = this.buckets.slice();
    const copied = new Map<number, Map<string, readonly MeshService[]>>();
    for (const [key, { gone, come }] of edit.changes) {
      const number = bucketOf(key);
      let bucket = copied.get(number);
      if (!bucket) copied.set(number, (bucket = new Map(buckets[number])));
      const had = bucket.get(key) ?? NONE;
      const has = keepIdentity(had, replaced(had, gone, come, byHost));
      if (has.length > 0) bucket.set(key, has);
      else bucket.delete(key);
    }
    for (const [number, bucket] of copied) buckets[number] = bucket;
    return new AddressIndex(buckets);
  }
}

/** Which services came to addresses and went from them. */
export class AddressEdit {
  readonly changes = new Map<string, { gone: Set<MeshService>; come: MeshService[] }>();

  replace(
    before: MeshService | undefined,
    had: readonly MeshEndpoint[],
    after: MeshService | undefined,
    has: readonly MeshEndpoint[],
  ): void {
    const old = addressesOf(had);
    const now = addressesOf(has);
    const same = before === after;
    if (before)
      for (const address of old)
        if (!same || !now.has(address)) this.of(keyOf(address, before.namespace)).gone.add(before);
    if (after)
      for (const address of now)
        if (!same || !old.has(address)) this.of(keyOf(address, after.namespace)).come.push(after);
  }

  private of(key: string) {
    let change = this.changes.get(key);
    if (!change) this.changes.set(key, (change = { gone: new Set(), come: [] }));
    return change;
  }
}

const keyOf = (address: string, namespace: string): string => `${namespace}\n${address}`;
const addressesOf = (endpoints: readonly MeshEndpoint[]) => new Set(endpoints.map(({ address }) => address));
const byHost = (a: MeshService, b: MeshService): number => compare(a.hostname, b.hostname);

function bucketOf(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (hash * 31 + key.charCodeAt(i)) | 0;
  return hash & (BUCKETS - 1);
}
