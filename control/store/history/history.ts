/** The history of resources: what each write of a user's part left, kept for a time after it was superseded. Pure functions. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { sameJson } from '../stamp.ts';
import type { ResourceKey } from '../store.ts';

/** On whose behalf a write is. */
export interface Author {
  /** Name of the user, as RBAC knows it. */
  user: string;
  /** The field manager of the request. */
  manager: string;
}

export type HistoryOperation = 'Create' | 'Update' | 'Delete';

export interface HistoryEntry {
  /** The resourceVersion that the write gave. */
  revision: number;
  /** Milliseconds since the epoch. */
  time: number;
  operation: HistoryOperation;
  /** Absent: the control plane itself wrote. */
  author?: Author;
  /** Without status and managedFields; of a deletion the last state. Absent: it was too large to be kept. */
  resource?: Resource;
}

export interface HistorySettings {
  /** Milliseconds for which an entry is kept after it was superseded; 0: no history. */
  retentionMs: number;
  /** Most entries of one resource. */
  perResource: number;
}

export const HISTORY: HistorySettings = { retentionMs: 7 * 86_400_000, perResource: 20 };

/** Kinds whose objects are a history themselves have none. */
export function hasHistory({ group, plural }: Pick<ResourceKey, 'group' | 'plural'>): boolean {
  return !(plural === 'events' && (group === '' || group === 'events.k8s.io'));
}

/** What an entry holds of a resource. */
export function kept(resource: Resource): Resource {
  const { status: _, ...rest } = resource;
  const { managedFields: __, ...metadata } = resource.metadata;
  return { ...rest, metadata };
}

/** Whether an update changed what a user writes: not its status, nor only who owns which field. */
export function isHistoric(stored: Resource, updated: Resource): boolean {
  if (stored.metadata.generation !== updated.metadata.generation) return true;
  return !sameJson(described(stored), described(updated));
}

function described({ metadata }: Resource): unknown {
  const { managedFields: _, resourceVersion: __, generation: ___, ...rest } = metadata;
  return rest;
}

/** When an entry was superseded: by the next one, a deletion at once. undefined: it is the present state. */
export function supersededAt(
  { operation, time }: Pick<HistoryEntry, 'operation' | 'time'>,
  next: Pick<HistoryEntry, 'time'> | undefined,
): number | undefined {
  return operation === 'Delete' ? time : next?.time;
}

/**
 * Which entries may be removed.
 * @param entries of one resource, oldest first
 */
export function outdated<E extends Pick<HistoryEntry, 'operation' | 'time'>>(
  entries: readonly E[],
  { retentionMs, perResource }: HistorySettings,
  now: number,
): E[] {
  const surplus = entries.length - perResource;
  return entries.filter((entry, at) => {
    const superseded = supersededAt(entry, entries[at + 1]);
    return at < surplus || (superseded !== undefined && superseded <= now - retentionMs);
  });
}

/** How often outdated entries are removed. */
export function pruneEveryMs({ retentionMs }: HistorySettings): number {
  return Math.min(600_000, Math.max(1000, retentionMs / 20));
}
