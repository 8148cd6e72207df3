/** Envoy's `/stats`: `name: value` a line, or JSON, filtered by a regular expression. */
import { compileRegex } from '../../shared/match/regex.ts';

const MAX_FILTER = 256;

/** @param entries sorted @throws Error when the filter is no regular expression */
export function statsText(
  entries: readonly [string, number][],
  query: URLSearchParams,
): { type: string; body: string } {
  const pattern = query.get('filter') ?? '';
  if (pattern.length > MAX_FILTER) throw new Error(`filter: longer than ${MAX_FILTER}`);
  // As Envoy: found anywhere in the name.
  const filter = pattern === '' ? undefined : compileRegex(`.*(?:${pattern}).*`);
  const shown = entries.filter(
    ([name, value]) => (!filter || filter.matches(name)) && (!query.has('usedonly') || value !== 0),
  );
  if (query.get('format') === 'json')
    return {
      type: 'application/json',
      body: `${JSON.stringify({ stats: shown.map(([name, value]) => ({ name, value })) })}\n`,
    };
  return { type: 'text/plain', body: shown.map(([name, value]) => `${name}: ${value}\n`).join('') };
}
