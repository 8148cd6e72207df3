/** An immutable map of sorted lists in buckets, so that an edit of a large one copies little. */
import { keepIdentity, replaced } from './sorted-list.ts';

const BUCKETS = 256;

export interface ListEdit<T> {
  readonly gone: Set<T>;
  readonly come: T[];
}

/** Edits by key. */
export class Edits<T> {
  readonly lists = new Map<string, ListEdit<T>>();

  at(key: string): ListEdit<T> {
    let edit = this.lists.get(key);
    if (!edit) this.lists.set(key, (edit = { gone: new Set(), come: [] }));
    return edit;
  }
}

/** One list, so that its identity says that nothing changed. */
const EMPTY: readonly never[] = Object.freeze([]);

type Bucket<T> = ReadonlyMap<string, readonly T[]>;

export class BucketMap<T> {
  private readonly order: (a: T, b: T) => number;
  private readonly buckets: readonly (Bucket<T> | undefined)[];

  constructor(order: (a: T, b: T) => number, buckets: readonly (Bucket<T> | undefined)[] = []) {
    this.order = order;
    this.buckets = buckets;
  }

  /** The list of a key in its order; empty when there is none. */
  at(key: string): readonly T[] {
    return this.buckets[bucketOf(key)]?.get(key) ?? EMPTY;
  }

  edited({ lists }: Edits<T>): BucketMap<T> {
    const buckets = this.buckets.slice();
    const copied = new Map<number, Map<string, readonly T[]>>();
    for (const [key, { gone, come }] of lists) {
      const number = bucketOf(key);
      let bucket = copied.get(number);
      if (!bucket) copied.set(number, (bucket = new Map(buckets[number])));
      const had = bucket.get(key) ?? EMPTY;
      const has = keepIdentity(had, replaced(had, gone, come, this.order));
      if (has.length > 0) bucket.set(key, has);
      else bucket.delete(key);
    }
    for (const [number, bucket] of copied) buckets[number] = bucket;
    return new BucketMap(this.order, buckets);
  }
}

function bucketOf(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (hash * 31 + key.charCodeAt(i)) | 0;
  return hash & (BUCKETS - 1);
}
