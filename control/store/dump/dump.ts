/** All that a store holds, for backups and migrations: lines of JSON that any driver writes and reads. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { HistoryEntry } from '../history/history.ts';
import type { ResourceKey } from '../store.ts';

export type DumpRecord =
  | { kind: 'resource'; key: ResourceKey; resource: Resource }
  /** Entries of one resource follow each other, the oldest first. */
  | { kind: 'history'; key: ResourceKey; entry: HistoryEntry }
  /** A record of etcd that is no resource: its name below the prefix, its bytes in base64 as they are stored. */
  | { kind: 'etcd'; name: string; value: string };

export interface Dump {
  /** Of the store when it was read: all records are of this moment. */
  readonly revision: number;
  readonly records: AsyncIterable<DumpRecord> | Iterable<DumpRecord>;
}

/**
 * Revisions that a restored store leaves out above those of its dump: clients have seen revisions of writes that the dump does not
 * have, and none of them may come again.
 */
export const SKIPPED_REVISIONS = 100_000;
/** In etcd, which must be written to for each of them. */
export const SKIPPED_REVISIONS_ETCD = 3000;
