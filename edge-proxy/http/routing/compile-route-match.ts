/** RouteMatch -> a closure over the request, and how much of a path it covers (what a prefix rewrite replaces). */
import { hasPathPrefix } from '../../../shared/match/path.ts';
import { compileByteRegex } from '../../../shared/match/regex.ts';
import { compileUriTemplate, type UriTemplate } from '../../../shared/match/uri-template.ts';
import type { RouteMatch } from '../../../shared/xds/match/route-match.ts';
import { ConfigError, errorAt } from '../../config-error.ts';
import { isGrpcRequest } from '../grpc/status.ts';
import {
  compileHeaderMatcher,
  compileQueryParameterMatcher,
  lowerAscii,
  pathOnly,
  type RequestMatch,
  type TextMatch,
} from './matchers.ts';
import { compileMetadataMatcher } from './metadata-matcher.ts';
import { shareOf } from './share.ts';

export interface CompiledMatch {
  matches: RequestMatch;
  /** Characters of the path (without query) that a prefix rewrite replaces; undefined: all of it. */
  prefixLength: number | undefined;
  /** The path template that was matched, for a rewrite by its variables. */
  template: UriTemplate | undefined;
  /** Only CONNECT requests match. */
  connect: boolean;
}

/** @param random [0, 1): decides for shares of requests */
export function compileRouteMatch(match: RouteMatch, path: string, random: () => number): CompiledMatch {
  const connect = match.connectMatcher !== undefined;
  const wanted = match.pathMatchPolicy?.typedConfig.pathTemplate;
  const template =
    wanted === undefined ? undefined : errorAt(`${path}.pathMatchPolicy`, () => compileUriTemplate(wanted));
  const pathMatch = compilePath(match, template, path);
  const conditions: RequestMatch[] = [
    ...(match.headers ?? []).map((one, i) => compileHeaderMatcher(one, `${path}.headers[${i}]`)),
    ...(match.queryParameters ?? []).map((one, i) =>
      compileQueryParameterMatcher(one, `${path}.queryParameters[${i}]`),
    ),
  ];
  for (const [i, one] of (match.dynamicMetadata ?? []).entries()) {
    const matches = compileMetadataMatcher(one, `${path}.dynamicMetadata[${i}]`);
    conditions.push((request) => matches(request.metadata));
  }
  if (match.grpc) conditions.push((request) => isGrpcRequest(request.headers));
  const share = match.runtimeFraction ? shareOf(match.runtimeFraction.defaultValue) : 1;
  if (share < 1) conditions.push(() => random() < share);
  return {
    // CONNECT names no path: only a connect matcher takes it.
    matches: (request) => {
      if ((request.method === 'CONNECT') !== connect) return false;
      if (!connect && !pathMatch(pathOnly(request.path))) return false;
      for (const condition of conditions) if (!condition(request)) return false;
      return true;
    },
    prefixLength: (match.prefix ?? match.pathSeparatedPrefix)?.length,
    template,
    connect,
  };
}

function compilePath(match: RouteMatch, template: UriTemplate | undefined, path: string): TextMatch {
  const { prefix, path: exact, safeRegex, pathSeparatedPrefix, connectMatcher, caseSensitive = true } = match;
  const given = [prefix, exact, safeRegex, pathSeparatedPrefix, connectMatcher, template].filter(
    (one) => one !== undefined,
  );
  if (given.length !== 1)
    throw new ConfigError(
      path,
      'must have exactly one of prefix, path, safeRegex, pathSeparatedPrefix, connectMatcher, pathMatchPolicy',
    );
  if (connectMatcher) return () => true;
  if (template !== undefined) return (text) => template.matches(text);
  if (safeRegex) {
    const regex = errorAt(`${path}.safeRegex`, () => compileByteRegex(safeRegex.regex));
    return (text) => regex.matches(text);
  }
  const wanted = caseSensitive ? (given[0] as string) : lowerAscii(given[0] as string);
  const plain = compilePlainPath(match, wanted, path);
  return caseSensitive ? plain : (text) => plain(lowerAscii(text));
}

function compilePlainPath(match: RouteMatch, wanted: string, path: string): TextMatch {
  if (match.path !== undefined) return (text) => text === wanted;
  if (match.prefix !== undefined) return wanted === '/' ? (text) => text[0] === '/' : (text) => text.startsWith(wanted);
  if (wanted === '' || wanted.endsWith('/') || /[?#]/.test(wanted))
    throw new ConfigError(`${path}.pathSeparatedPrefix`, 'must not be empty, end in "/" or hold "?" or "#"');
  return (text) => hasPathPrefix(text, wanted);
}
