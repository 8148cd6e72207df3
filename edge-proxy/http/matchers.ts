/**
 * Envoy's matchers as closures, built once when config arrives (envoy.type.matcher.v3.StringMatcher,
 * envoy.config.route.v3.HeaderMatcher and QueryParameterMatcher). All throw ConfigFault while compiling, never later.
 */
import { compileByteRegex } from '../../shared/match/regex.ts';
import { wireText } from '../../shared/match/wire.ts';
import type { StringMatcher } from '../../shared/xds/core.ts';
import type { HeaderMatcher, QueryParameterMatcher } from '../../shared/xds/route.ts';
import { ConfigFault, faultAt } from '../config-error.ts';
import type { RequestContext } from './stream.ts';

export type TextMatch = (text: string) => boolean;
/** Header fields, and what HTTP/2 has as pseudo-header fields: '' where there is none. */
export type HeaderSource = Pick<RequestContext, 'method' | 'path' | 'authority' | 'headers'> & {
  readonly scheme: RequestContext['scheme'] | '';
};
export type RequestMatch = (request: RequestContext) => boolean;
export type HeaderMatch = (request: HeaderSource) => boolean;

/**
 * @param on what is compared: text of a request's head, where each character is a byte, or text that was decoded
 * (claims of a token)
 */
export function compileStringMatcher(matcher: StringMatcher, path: string, on: 'wire' | 'text' = 'wire'): TextMatch {
  const { exact, prefix, suffix, contains, safeRegex, ignoreCase = false } = matcher;
  const given = [exact, prefix, suffix, contains, safeRegex].filter((one) => one !== undefined);
  if (given.length !== 1)
    throw new ConfigFault(path, 'must have exactly one of exact, prefix, suffix, contains, safeRegex');
  if (safeRegex) {
    // By bytes: one that is not UTF-8 must not hide a value from a DENY policy.
    const regex = faultAt(`${path}.safeRegex`, () => compileByteRegex(safeRegex.regex));
    return on === 'wire' ? (bytes) => regex.matches(bytes) : (text) => regex.matches(wireText(text));
  }
  const configured = on === 'wire' ? wireText(given[0] as string) : (given[0] as string);
  const wanted = ignoreCase ? lowerAscii(configured) : configured;
  if (wanted === '' && exact === undefined) throw new ConfigFault(path, 'an empty text matches everything');
  const plain: TextMatch =
    exact !== undefined
      ? (text) => text === wanted
      : prefix !== undefined
        ? (text) => text.startsWith(wanted)
        : suffix !== undefined
          ? (text) => text.endsWith(wanted)
          : (text) => text.includes(wanted);
  return ignoreCase ? (text) => plain(lowerAscii(text)) : plain;
}

/**
 * A missing header does not match, inverted or not, unless it counts as empty. Of a header that stands several times
 * one that matches is enough, and inverted none may (Envoy since 1.37: each value is judged by itself).
 */
export function compileHeaderMatcher(matcher: HeaderMatcher, path: string): HeaderMatch {
  const { stringMatch, rangeMatch, presentMatch, invertMatch = false, treatMissingHeaderAsEmpty = false } = matcher;
  const read = headerReader(matcher.name);
  if (!stringMatch && !rangeMatch) {
    const wanted = (presentMatch ?? true) !== invertMatch;
    return treatMissingHeaderAsEmpty ? () => wanted : (request) => (read(request) !== undefined) === wanted;
  }
  const matches = stringMatch
    ? compileStringMatcher(stringMatch, `${path}.stringMatch`)
    : compileRange(rangeMatch?.start ?? 0, rangeMatch?.end ?? 0);
  const missing = treatMissingHeaderAsEmpty && matches('') !== invertMatch;
  const key = matcher.name.toLowerCase();
  if (key.startsWith(':') || key === 'host') {
    return (request) => {
      const value = read(request);
      return value === undefined ? missing : matches(value) !== invertMatch;
    };
  }
  return (request) => {
    const { keys, values } = request.headers;
    let at = keys.indexOf(key);
    if (at < 0) return missing;
    for (; at >= 0; at = keys.indexOf(key, at + 1)) if (matches(values[at]!)) return !invertMatch;
    return invertMatch;
  };
}

/** The first parameter of the name decides; texts are compared as they stand in the path, still escaped. */
export function compileQueryParameterMatcher(matcher: QueryParameterMatcher, path: string): RequestMatch {
  const { name, stringMatch, presentMatch = true } = matcher;
  if (!stringMatch) return (request) => (queryParameter(request.path, name) !== undefined) === presentMatch;
  const matches = compileStringMatcher(stringMatch, `${path}.stringMatch`);
  return (request) => {
    const value = queryParameter(request.path, name);
    return value !== undefined && matches(value);
  };
}

/** The path of a request target, without query and fragment. */
export function pathOnly(path: string): string {
  const question = path.indexOf('?');
  const end = question < 0 ? path : path.slice(0, question);
  const hash = end.indexOf('#');
  return hash < 0 ? end : end.slice(0, hash);
}

/** The raw value of the first query parameter of that name; '' when it has none. */
export function queryParameter(path: string, name: string): string | undefined {
  let at = path.indexOf('?');
  while (at >= 0) {
    const start = at + 1;
    at = path.indexOf('&', start);
    const end = at < 0 ? path.length : at;
    if (path.startsWith(name, start)) {
      const after = start + name.length;
      if (after === end) return '';
      if (after < end && path[after] === '=') return path.slice(after + 1, end);
    }
  }
  return undefined;
}

/** Reads a header or pseudo header. Host is `:authority`; a name is looked up in lower case. */
export function headerReader(name: string): (request: HeaderSource) => string | undefined {
  const key = name.toLowerCase();
  switch (key) {
    case ':method':
      return (request) => some(request.method);
    case ':path':
      return (request) => some(request.path);
    case ':scheme':
      return (request) => some(request.scheme);
    case ':authority':
    case 'host':
      return (request) => some(request.authority);
    default:
      return (request) => request.headers.joined(key);
  }
}

const some = (value: string): string | undefined => (value === '' ? undefined : value);

function compileRange(start: number, end: number): TextMatch {
  return (text) => {
    if (!/^[+-]?\d{1,18}$/.test(text)) return false;
    const value = Number(text);
    return value >= start && value < end;
  };
}

/** Only ASCII letters fold: `İ` must not become something that matches. */
export function lowerAscii(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127 || (code >= 65 && code <= 90)) return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
  }
  return text;
}
