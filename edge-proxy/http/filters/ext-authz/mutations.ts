/** Puts what an authorization service wants changed of a message into effect. */
import { FRAMING_HEADERS } from '../../../../shared/match/framing-headers.ts';
import { isToken } from '../../codec/h1/fields.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestContext } from '../../request/request-context.ts';
import type { Allowed, HeaderMutation } from './verdict.ts';

const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What a request line can hold. */
const PATH = /^\/[\x21-\x7e\x80-\xff]*$/;
const AUTHORITY = /^[\x21-\x7e]+$/;
/** Of a query: what RFC 3986 section 3.4 lets stand, and percent-encoded octets, without the separators of parameters. */
const QUERY_KEY = /^(?:[A-Za-z0-9\-._~!$'()*+,;:@/?]|%[0-9A-Fa-f]{2})+$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~!$'()*+,;:@/?=]|%[0-9A-Fa-f]{2})*$/;

/** Whether every operation could be put into effect. */
export function areValid(mutations: readonly HeaderMutation[]): boolean {
  return mutations.every(({ key, value }) => isToken(key) && VALUE.test(value));
}

/** Pseudo-header fields of a request may be overwritten, each by what it can be; no operation changes one else. */
function isValidForRequest({ key, value, action }: HeaderMutation): boolean {
  if (!key.startsWith(':') && key !== 'host') return isToken(key) && VALUE.test(value);
  if (action !== 'overwrite' && action !== 'overwrite-if-exists') return false;
  switch (key) {
    case ':path':
      return PATH.test(value);
    case ':authority':
    case 'host':
      return AUTHORITY.test(value);
    case ':method':
      return isToken(value) && value !== 'CONNECT';
    case ':scheme':
      return value === 'http' || value === 'https';
    default:
      return false;
  }
}

/** Whether all that an authorization service wants changed can be put into effect. */
export function isApplicable({ headers, responseHeaders, queryToSet }: Allowed, { path }: RequestContext): boolean {
  return (
    headers.every(isValidForRequest) &&
    areValid(responseHeaders) &&
    queryToSet.every(([key, value]) => QUERY_KEY.test(key) && QUERY_VALUE.test(value)) &&
    // A CONNECT has no path that parameters could be put into.
    (queryToSet.length === 0 || path !== '')
  );
}

/** Changes the request as `isApplicable` has found possible. */
export function applyToRequest(
  { headers, headersToRemove, queryToSet, queryToRemove }: Allowed,
  request: RequestContext,
): void {
  for (const mutation of headers) mutateRequest(request, mutation);
  for (const key of headersToRemove)
    if (!key.startsWith(':') && key !== 'host' && !FRAMING_HEADERS.has(key)) request.headers.remove(key);
  if (request.path !== '' && queryToSet.length + queryToRemove.length > 0)
    request.path = withQuery(request.path, queryToSet, queryToRemove);
}

function mutateRequest(request: RequestContext, mutation: HeaderMutation): void {
  const { key, value } = mutation;
  switch (key) {
    case ':path':
      if (request.path !== '') request.path = value;
      return;
    case ':authority':
    case 'host':
      request.authority = value;
      return;
    case ':method':
      if (request.method !== 'CONNECT') request.method = value;
      return;
    case ':scheme':
      request.scheme = value as RequestContext['scheme'];
      return;
    default:
      mutate(request.headers, mutation);
  }
}

/** Framing fields stay as they are. */
export function mutate(headers: HeaderMap, { key, value, action }: HeaderMutation): void {
  if (FRAMING_HEADERS.has(key)) return;
  const at = headers.indexOf(key);
  switch (action) {
    case 'append':
      headers.append(key, value, key);
      return;
    case 'add-if-absent':
      if (at < 0) headers.append(key, value, key);
      return;
    case 'overwrite':
      headers.set(key, value);
      return;
    case 'overwrite-if-exists':
      if (at >= 0) headers.set(key, value);
      return;
    case 'join':
      if (at >= 0) headers.values[at] = `${headers.values[at]},${value}`;
  }
}

/** As in Envoy, a query that is changed has its parameters in the order of their names. */
function withQuery(
  path: string,
  toSet: readonly (readonly [key: string, value: string])[],
  toRemove: readonly string[],
): string {
  const question = path.indexOf('?');
  const base = question < 0 ? path : path.slice(0, question);
  const parameters = new Map<string, string[]>();
  for (const part of question < 0 ? [] : path.slice(question + 1).split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const key = equals < 0 ? part : part.slice(0, equals);
    const known = parameters.get(key);
    if (known) known.push(part);
    else parameters.set(key, [part]);
  }
  for (const [key, value] of toSet) parameters.set(key, [`${key}=${value}`]);
  for (const key of toRemove) parameters.delete(key);
  const parts = [...parameters].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, all]) => all);
  return parts.length === 0 ? base : `${base}?${parts.join('&')}`;
}
