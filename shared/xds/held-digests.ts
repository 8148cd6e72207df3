/**
 * What a node holds of one resource type, in few bytes: names are dealt into buckets, and a bucket has one digest, so that
 * a node that reconnects says names only where they, or their versions, differ from what it should hold.
 */

export const HELD_BUCKETS = 64;

/** FNV-1a over the UTF-16 code units of the name (isthe.com/chongo/tech/comp/fnv), modulo the number of buckets. */
export function bucketOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % HELD_BUCKETS;
}

/**
 * What is digested of each bucket: a line `["name","version"]` a resource, sorted by code units. '' for an empty bucket,
 * whose digest is '' as well; any other is the first 32 hex digits of the SHA-256 of the text in UTF-8.
 */
export function bucketTexts(held: Iterable<{ readonly name: string; readonly version: string }>): string[] {
  const lines: string[][] = Array.from({ length: HELD_BUCKETS }, () => []);
  for (const { name, version } of held) lines[bucketOf(name)]?.push(JSON.stringify([name, version]));
  return lines.map((bucket) => bucket.sort().join('\n'));
}
