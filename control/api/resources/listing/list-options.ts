/** ListOptions of a request, checked as Kubernetes does (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions). */
import type { Context } from 'hono';
import type { Violation } from '../../../../shared/resources/resource.ts';
import type { ApiEnv } from '../../caller.ts';
import { isTrue, parseRevision } from '../request-options.ts';
import { badRequest, invalidOptions } from '../status.ts';

export interface ListOptions {
  /** undefined: the newest. */
  revision: number | undefined;
  exact: boolean;
  /** 0: all. */
  limit: number;
  /** '': from the beginning. */
  continue: string;
}

/** @throws ApiError 400, 422 */
export function parseListOptions(c: Context<ApiEnv>): ListOptions {
  const match = c.req.query('resourceVersionMatch') ?? '';
  const token = c.req.query('continue') ?? '';
  const version = c.req.query('resourceVersion') ?? '';
  const violations: Violation[] = [];
  if (match !== '') {
    if (version === '')
      violations.push(forbidden('resourceVersionMatch is forbidden unless resourceVersion is provided'));
    if (token !== '') violations.push(forbidden('resourceVersionMatch is forbidden when continue is provided'));
    if (match !== 'Exact' && match !== 'NotOlderThan')
      violations.push(unsupported(match, ['Exact', 'NotOlderThan', '']));
    if (match === 'Exact' && version === '0')
      violations.push(forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
  }
  if (c.req.query('sendInitialEvents') !== undefined)
    violations.push(forbidden('sendInitialEvents is forbidden for list', 'sendInitialEvents'));
  if (violations.length > 0) throw invalidOptions('ListOptions', ...violations);
  if (token !== '' && version !== '' && version !== '0')
    throw badRequest('specifying resource version is not allowed when using continue');
  return {
    revision: parseRevision(c),
    exact: match === 'Exact',
    limit: limitOf(c.req.query('limit')),
    continue: token,
  };
}

export interface WatchOptions {
  revision: number | undefined;
  /** The existing resources come first. */
  initial: boolean;
  bookmarks: boolean;
}

/** @throws ApiError 400, 422 */
export function parseWatchOptions(c: Context<ApiEnv>): WatchOptions {
  const match = c.req.query('resourceVersionMatch') ?? '';
  const initial = c.req.query('sendInitialEvents');
  const violations: Violation[] = [];
  if (initial !== undefined && match !== 'NotOlderThan')
    violations.push(forbidden('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'));
  if (match !== '') {
    if (initial === undefined)
      violations.push(forbidden('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'));
    if (match !== 'NotOlderThan') violations.push(unsupported(match, ['NotOlderThan']));
    if (c.req.query('continue'))
      violations.push(forbidden('resourceVersionMatch is forbidden when continue is provided'));
  }
  if (violations.length > 0) throw invalidOptions('ListOptions', ...violations);
  return {
    revision: parseRevision(c),
    initial: isTrue(initial),
    bookmarks: isTrue(c.req.query('allowWatchBookmarks')),
  };
}

function limitOf(text: string | undefined): number {
  if (!text) return 0;
  if (!/^-?[0-9]{1,15}$/.test(text)) throw badRequest(`limit: must be a whole number, found "${text.slice(0, 40)}"`);
  return Math.max(0, Number(text));
}

const forbidden = (why: string, path = 'resourceVersionMatch'): Violation => ({
  path,
  rule: 'forbidden',
  message: `Forbidden: ${why}`,
});

function unsupported(match: string, values: readonly string[]): Violation {
  const supported = values.map((value) => JSON.stringify(value)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(match.slice(0, 64))}: supported values: ${supported}`;
  return { path: 'resourceVersionMatch', rule: 'enum', message };
}
