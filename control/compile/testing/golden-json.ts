/** JSON of xDS resources, read without its schemas, for comparisons by meaning. */

export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const list = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : []);
export const object = (value: unknown): Json => (isObject(value) ? value : {});

/** Sorted keys; 64-bit strings as numbers; empty messages, names of decoration and defaults left out. */
export function stripEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripEmpty);
  if (typeof value === 'string') return scalar(value);
  if (!isObject(value)) return value;
  const out: Json = {};
  for (const key of Object.keys(value).sort()) {
    if (DECORATION.has(key)) continue;
    const item = stripEmpty(value[key]);
    if (item === undefined || item === null || item === '') continue;
    if (Array.isArray(item) && item.length === 0) continue;
    if (isObject(item) && Object.keys(item).length === 0) continue;
    out[key] = UNORDERED.has(key) ? [...(item as string[])].sort() : item;
  }
  return out;
}
/** 64-bit integers as numbers, durations without trailing zeros. */
function scalar(value: string): unknown {
  if (/^\d{1,10}$/.test(value)) return Number(value);
  return /^\d+\.\d+s$/.test(value) ? `${Number(value.slice(0, -1))}s` : value;
}
/** Lists of names whose order has no meaning. */
const UNORDERED = new Set(['domains', 'serverNames']);
const DECORATION = new Set(['runtimeKey', 'decorator', 'metadata', 'validateClusters', 'initialFetchTimeout']);
