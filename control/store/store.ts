/** ResourceStore: storage of the control plane's resources. One conformance suite runs against every driver. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { Dump, DumpRecord } from './dump/dump.ts';
import type { Author, HistoryEntry } from './history/history.ts';

/** Where a resource lives. `namespace` is '' for cluster-scoped kinds. */
export interface ResourceKey {
  group: string;
  plural: string;
  namespace: string;
  name: string;
}

/** What the stored resource must be for a write to happen. */
export interface Precondition {
  resourceVersion?: string | undefined;
  uid?: string | undefined;
}

/** A write of a status. */
export interface StatusWrite extends Precondition {
  /**
   * `metadata.managedFields` after the write, made in its transaction from the resource as it is stored and as it will be;
   * undefined: none. Default: they stay as they are stored.
   */
  owners?: ((stored: Resource, next: Resource) => unknown[] | undefined) | undefined;
}

export interface Selection {
  /** Absent: every kind. */
  kind?: { group: string; plural: string };
  /** Absent: every namespace. */
  namespace?: string;
}

export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  key: ResourceKey;
  /** For DELETED the last state, its resourceVersion that of the deletion. */
  resource: Resource;
  /** The store's revision after this write: strictly rising over all kinds. */
  revision: number;
}

export type StoreErrorCode = 'not-found' | 'already-exists' | 'conflict' | 'gone' | 'unavailable';
export class StoreError extends Error {
  override name = 'StoreError';
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Every write is durable when its promise resolves. `metadata.resourceVersion` is the decimal revision of the last write
 * to that resource; uid, creationTimestamp, generation (bumped when anything but metadata and status changes) are set
 * by the store. A `deletionTimestamp` that is stored stays, and begins a generation. Returned resources are the caller's own copies.
 */
export interface ResourceStore {
  get(key: ResourceKey): Promise<Resource | undefined>;
  /** Sorted by namespace, then name; `revision` is the store's at the moment of the list: watch from it. */
  list(selection: Selection): Promise<{ items: Resource[]; revision: number }>;
  /**
   * @param author for the history
   * @throws StoreError already-exists
   */
  create(key: ResourceKey, resource: Resource, author?: Author): Promise<Resource>;
  /**
   * Replaces everything but the status, which stays as it is stored.
   * @throws StoreError not-found; conflict when resource.metadata.resourceVersion is set and is not the stored one
   */
  update(key: ResourceKey, resource: Resource, author?: Author): Promise<Resource>;
  /**
   * Replaces the status, and with it at most `managedFields`, as a write to Kubernetes' subresource `status`: another
   * resourceVersion, the same generation. A status that is stored already is no write.
   * @param status undefined removes it
   * @throws StoreError not-found; conflict when a precondition does not hold
   */
  updateStatus(key: ResourceKey, status: unknown, write?: StatusWrite): Promise<Resource>;
  /** @throws StoreError not-found; conflict when a precondition does not hold */
  delete(key: ResourceKey, precondition?: Precondition, author?: Author): Promise<Resource>;
  /** What creations, updates and deletions left, newest first; also of a resource that was deleted. Status writes are no part of it. */
  history(key: ResourceKey): Promise<HistoryEntry[]>;
  /**
   * Every change after `fromRevision`, in order, none missing and none twice, until `signal` aborts (then it ends). Events
   * are not copies: all watchers get the same ones, which must not be changed.
   * @throws StoreError gone when history no longer reaches back to `fromRevision`, or the reader fell too far behind
   */
  watch(selection: Selection, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchEvent>;
  revision(): Promise<number>;
  /** Everything, at one revision, while others write. */
  dump(): Promise<Dump>;
  close(): Promise<void>;
}

/** A store that a dump can be read into. */
export interface LoadableStore extends ResourceStore {
  /**
   * Fills an empty store, all or nothing. Resources get new revisions, above `after`; watches from earlier ones end with `gone`.
   * @throws StoreError conflict when the store holds resources
   */
  load(records: Iterable<DumpRecord> | AsyncIterable<DumpRecord>, after: number): Promise<void>;
}
