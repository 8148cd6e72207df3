import type { ResourceKey, Selection } from './store.ts';

/** Whether a key falls under a selection. */
export function selects(selection: Selection, key: ResourceKey): boolean {
  if (selection.kind && (selection.kind.group !== key.group || selection.kind.plural !== key.plural)) return false;
  return selection.namespace === undefined || selection.namespace === key.namespace;
}

/** The order of lists: by namespace, then name. */
export function compareKeys(left: ResourceKey, right: ResourceKey): number {
  return (
    compare(left.namespace, right.namespace) ||
    compare(left.name, right.name) ||
    compare(left.group, right.group) ||
    compare(left.plural, right.plural)
  );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
