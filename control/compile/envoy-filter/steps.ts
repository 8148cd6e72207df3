/** Changes of lists: what REMOVE, MERGE, REPLACE, ADD and INSERT_ do to filters, chains, routes and virtual hosts. */
import type { ConfigPatch } from './config-patch.ts';
import { type Fields, type Lists, mergeMessages } from './merge.ts';

export const isMerge = ({ operation }: Pick<ConfigPatch, 'operation'>): boolean =>
  operation === 'MERGE' || operation === 'MERGE_AND_REPLACE_LIST';

export const listsOf = ({ operation }: Pick<ConfigPatch, 'operation'>): Lists =>
  operation === 'MERGE_AND_REPLACE_LIST' ? 'replace' : 'append';

/** The message with the patch's value merged into it. */
export function mergedWith(type: string, item: Fields, patch: ConfigPatch): Fields {
  return mergeMessages(type, item, patch.value, listsOf(patch));
}

/**
 * The list after `change` of each item, undefined removes it; the very same list where nothing changes.
 */
export function changedItems(
  items: readonly Fields[],
  change: (item: Fields) => Fields | undefined,
): readonly Fields[] {
  let changed = false;
  const out = items.flatMap((item) => {
    const next = change(item);
    if (next !== item) changed = true;
    return next === undefined ? [] : [next];
  });
  return changed ? out : items;
}

/**
 * The list with the patch's value at its place.
 * @param isAnchor the item that an INSERT_ or REPLACE names; undefined: it names none, and INSERT_BEFORE is in front of all, INSERT_AFTER
 *   behind all
 */
export function insertedInto(
  items: readonly Fields[],
  { operation, value }: Pick<ConfigPatch, 'operation' | 'value'>,
  isAnchor: ((item: Fields) => boolean) | undefined,
): readonly Fields[] {
  if (operation === 'ADD') return [...items, value];
  if (operation === 'INSERT_FIRST' && !isAnchor) return [value, ...items];
  if (operation === 'INSERT_BEFORE' && !isAnchor) return [value, ...items];
  if (operation === 'INSERT_AFTER' && !isAnchor) return [...items, value];
  if (!isAnchor) return items;
  const at = items.findIndex(isAnchor);
  if (at < 0) return items;
  if (operation === 'INSERT_AFTER') return items.toSpliced(at + 1, 0, value);
  if (operation === 'REPLACE') return items.toSpliced(at, 1, value);
  return items.toSpliced(at, 0, value);
}

/** Whether the operation puts the value at a place of a list. */
export const isInsertion = ({ operation }: Pick<ConfigPatch, 'operation'>): boolean =>
  operation === 'ADD' || operation.startsWith('INSERT_');
