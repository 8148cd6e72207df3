/** The ext_authz filters of istiod and ours, by meaning. */

type Json = Record<string, unknown>;

/** The whole configuration, in canonical proto3 JSON: everything decides who is let in. */
export function extAuthzMeaning(config: Json): unknown {
  return canonical(config);
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value === 'string') return /^\d+(\.\d+)?s$/.test(value) ? `${Number(value.slice(0, -1))}s` : value;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([, field]) => field !== false && field !== '' && field !== 0)
    .map(([key, field]) => [key, canonical(field)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}
