/** Path and host rewrites of a RouteAction, compiled to one closure: host first, which may read the path (as Envoy). */
import { compileByteRegex } from '../../../shared/match/regex.ts';
import { wireText } from '../../../shared/match/wire.ts';
import type { RouteAction } from '../../../shared/xds/route.ts';
import { ConfigError, errorAt } from '../../config-error.ts';
import { rewriteHost } from '../../http/headers/forward-headers.ts';
import type { RequestContext } from '../../http/request/request-context.ts';
import type { CompiledMatch } from '../../http/routing/compile-route-match.ts';
import { pathOnly } from '../../http/routing/matchers.ts';
import type { ForwardAction } from '../../http/routing/route-table.ts';

/** A path without query to a new one. */
type PathEdit = (path: string) => string;
/** The new host; '' leaves the old. */
type HostEdit = (request: RequestContext) => string;

/** @throws ConfigError where rewrites exclude each other */
export function compileRewrite(action: RouteAction, match: CompiledMatch, path: string): ForwardAction['rewrite'] {
  const host = compileHostRewrite(action, path);
  const edit = match.connect ? undefined : compilePathRewrite(action, match, path);
  const append = action.appendXForwardedHost ?? false;
  return (request) => {
    const newHost = host?.(request) ?? '';
    if (newHost !== '') rewriteHost(request, newHost, append);
    if (edit === undefined) return false;
    const only = pathOnly(request.path);
    const edited = edit(only);
    // A request must name a path: as in Envoy, what would leave none changes nothing.
    if (edited === '') return false;
    request.path = edited + request.path.slice(only.length);
    return true;
  };
}

function compileHostRewrite(action: RouteAction, path: string): HostEdit | undefined {
  const { hostRewriteLiteral, hostRewriteHeader, hostRewritePathRegex, autoHostRewrite } = action;
  const given = [hostRewriteLiteral, hostRewriteHeader, hostRewritePathRegex, autoHostRewrite].filter(Boolean);
  if (given.length > 1)
    throw new ConfigError(
      path,
      'hostRewriteLiteral, hostRewriteHeader, hostRewritePathRegex and autoHostRewrite exclude each other',
    );
  if (hostRewriteLiteral) {
    const host = wireText(hostRewriteLiteral);
    return () => host;
  }
  if (hostRewriteHeader) {
    const key = hostRewriteHeader.toLowerCase();
    return (request) => request.headers.get(key) ?? '';
  }
  if (!hostRewritePathRegex) return undefined;
  const replace = errorAt(`${path}.hostRewritePathRegex`, () =>
    compileByteRegex(hostRewritePathRegex.pattern.regex).replacer(wireText(hostRewritePathRegex.substitution ?? '')),
  );
  return (request) => replace(pathOnly(request.path));
}

function compilePathRewrite(action: RouteAction, match: CompiledMatch, path: string): PathEdit | undefined {
  const { prefixRewrite, regexRewrite, pathRewritePolicy } = action;
  if ([prefixRewrite, regexRewrite, pathRewritePolicy].filter(Boolean).length > 1)
    throw new ConfigError(path, 'prefixRewrite, regexRewrite and pathRewritePolicy exclude each other');
  if (prefixRewrite) {
    const { prefixLength } = match;
    const prefix = wireText(prefixRewrite);
    return prefixLength === undefined ? () => prefix : (only) => prefix + only.slice(prefixLength);
  }
  if (regexRewrite)
    return errorAt(`${path}.regexRewrite`, () =>
      compileByteRegex(regexRewrite.pattern.regex).replacer(wireText(regexRewrite.substitution ?? '')),
    );
  if (!pathRewritePolicy) return undefined;
  const { template } = match;
  if (!template) throw new ConfigError(`${path}.pathRewritePolicy`, 'needs a pathMatchPolicy in the match');
  return errorAt(`${path}.pathRewritePolicy`, () =>
    template.rewriter(wireText(pathRewritePolicy.typedConfig.pathTemplateRewrite)),
  );
}
