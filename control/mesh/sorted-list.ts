/** Sorted arrays that are never changed in place: a view keeps the array it was given. */

/** By code unit, as Go sorts: never by locale. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The first index whose item is not before `item`. */
export function lowerBound<T>(list: readonly T[], item: T, order: (a: T, b: T) => number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (order(list[middle] as T, item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Beyond this many changes one sort is cheaper than a search for each. */
const FEW = 32;

/** `list` without `removed` (compared by identity) and with `added`; equal items keep the order they were added in. */
export function replaced<T>(
  list: readonly T[],
  removed: ReadonlySet<T>,
  added: readonly T[],
  order: (a: T, b: T) => number,
): T[] {
  if (removed.size + added.length > FEW)
    return [...(removed.size > 0 ? list.filter((item) => !removed.has(item)) : list), ...added].sort(order);
  const out = list.slice();
  for (const item of removed) {
    let at = lowerBound(out, item, order);
    while (at < out.length && out[at] !== item) at += 1;
    if (at < out.length) out.splice(at, 1);
  }
  for (const item of added) {
    let at = lowerBound(out, item, order);
    while (at < out.length && order(out[at] as T, item) === 0) at += 1;
    out.splice(at, 0, item);
  }
  return out;
}

/** `before` itself where it holds the very same items as `next`, so that identity says "unchanged". */
export function keepIdentity<T>(before: readonly T[] | undefined, next: readonly T[]): readonly T[] {
  return before?.length === next.length && before.every((item, i) => item === next[i]) ? before : next;
}
