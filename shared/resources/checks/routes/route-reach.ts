/**
 * Routes of a VirtualService that no request can reach, and matches that an earlier route takes (IST0130 and IST0131 of Istio,
 * which its webhook warns of too). Routes are tried in their order, the first that matches is taken.
 */

import type { HttpMatchRequest, StringMatch } from '../../schema/virtual-service.ts';
import type { Report } from '../../violations.ts';

interface RouteLike {
  name?: string | undefined;
  match?: readonly object[] | undefined;
}

/** @param path of the list, as `spec.http` */
export function warnUnreachable(report: Report, path: string, routes: readonly RouteLike[]): void {
  const seen = new Map<string, string>();
  const prefixes = new Map<string, Prefixed[]>();
  let catchAll: string | undefined;
  for (const [i, route] of routes.entries()) {
    const at = `${path}[${i}]`;
    if (catchAll !== undefined) {
      report.warn(at, 'virtualservice.unreachable', `is never reached: ${catchAll} before it matches everything`);
      continue;
    }
    const matches = route.match ?? [];
    let repeated = 0;
    for (const [j, match] of matches.entries()) {
      const where = `${at}.match[${j}]`;
      const key = meaning(match);
      const earlier = seen.get(key);
      if (earlier !== undefined) {
        report.warn(where, 'virtualservice.ineffective', `is never used: ${earlier} is the same`);
        repeated++;
        continue;
      }
      seen.set(key, where);
      const http = match as HttpMatchRequest;
      const wider = http.uri?.prefix ? widerThan(prefixes, http.uri.prefix, http) : undefined;
      if (wider) {
        const message = `is never used: ${wider.path} takes every path that begins with "${wider.match.uri?.prefix}"`;
        report.warn(where, 'virtualservice.ineffective', message);
      }
      if (http.uri?.prefix) remember(prefixes, http.uri.prefix, { match: http, path: where });
    }
    if (matches.length > 0 && repeated === matches.length) {
      report.warn(at, 'virtualservice.unreachable', 'is never reached: routes before it have all of its matches');
    }
    if (matches.length === 0 || matches.some(matchesEverything)) catchAll = at;
  }
}

interface Prefixed {
  match: HttpMatchRequest;
  path: string;
}
/** Later routes are not checked: the time stays linear in the size of the resource. */
const MAX_PREFIX = 1024;
const MAX_SAME_PREFIX = 50;

function remember(prefixes: Map<string, Prefixed[]>, prefix: string, each: Prefixed): void {
  const same = prefixes.get(prefix);
  if (!same) prefixes.set(prefix, [each]);
  else if (same.length < MAX_SAME_PREFIX) same.push(each);
}

/** An earlier match that matches every request of this one. */
function widerThan(prefixes: ReadonlyMap<string, Prefixed[]>, prefix: string, match: HttpMatchRequest) {
  for (let length = 1; length <= Math.min(prefix.length, MAX_PREFIX); length++) {
    const wider = prefixes.get(prefix.slice(0, length))?.find((each) => covers(each.match, match));
    if (wider) return wider;
  }
  return undefined;
}

/** A match as canonical text, without its name and independent of the order of its fields. */
function meaning(match: object): string {
  return JSON.stringify(match, (key, value: unknown) => {
    if (key === 'name' || typeof value !== 'object' || value === null || Array.isArray(value)) {
      return key === 'name' && value === (match as { name?: unknown }).name ? undefined : value;
    }
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** No condition at all, or none but a path that is every path. */
function matchesEverything(match: object): boolean {
  const { name: _, uri, ...conditions } = match as HttpMatchRequest;
  if (Object.values(conditions).some((condition) => condition !== undefined)) return false;
  return uri === undefined || uri.prefix === '/' || uri.regex === '.*' || uri.regex === '/.*';
}

/** Does `wide` match every request of `narrow`? Both have a path prefix; decided from the text only. */
function covers(wide: HttpMatchRequest, narrow: HttpMatchRequest): boolean {
  const { uri: wideUri, name: _wide, ...wideRest } = wide;
  const { uri: narrowUri, name: _narrow, ...narrowRest } = narrow;
  if (wideUri?.prefix === undefined || narrowUri?.prefix === undefined) return false;
  if (wide.ignoreUriCase !== narrow.ignoreUriCase || !narrowUri.prefix.startsWith(wideUri.prefix)) return false;
  return Object.entries(wideRest).every(([field, value]) => {
    const other = narrowRest[field as keyof typeof narrowRest];
    if (value === undefined) return true;
    if (other === undefined) return false;
    if (['headers', 'queryParams'].includes(field)) {
      return Object.entries(value as Record<string, StringMatch>).every(([name, wanted]) => {
        const given = (other as Record<string, StringMatch>)[name];
        return given !== undefined && meaning(given) === meaning(wanted);
      });
    }
    return JSON.stringify(value) === JSON.stringify(other);
  });
}
