/** RedirectAction -> status and Location, by Envoy's rules for scheme, port, path and query. */
import { compileByteRegex } from '../../../shared/match/regex.ts';
import { wireText } from '../../../shared/match/wire.ts';
import type { RedirectAction as XdsRedirect } from '../../../shared/xds/route.ts';
import { ConfigError, errorAt } from '../../config-error.ts';
import type { RequestContext } from '../../http/request/request-context.ts';
import { pathOnly } from '../../http/routing/matchers.ts';

const STATUS = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
} as const;

export interface CompiledRedirect {
  status: number;
  location(request: RequestContext): string;
}

/** @param prefixLength of the path, replaced by prefixRewrite; undefined: the whole path is */
export function compileRedirect(
  redirect: XdsRedirect,
  prefixLength: number | undefined,
  path: string,
): CompiledRedirect {
  for (const field of ['schemeRedirect', 'hostRedirect', 'pathRedirect', 'prefixRewrite'] as const)
    if (/[\u0000-\u0020\u007f]/.test(redirect[field] ?? ''))
      throw new ConfigError(`${path}.${field}`, 'holds a space or control character');
  const host = wireText(redirect.hostRedirect ?? '');
  const target = compileTarget(redirect, prefixLength, path);
  const scheme = redirect.httpsRedirect ? 'https' : redirect.schemeRedirect;
  const port = redirect.portRedirect ? `:${redirect.portRedirect}` : '';
  return {
    status: STATUS[redirect.responseCode ?? 'MOVED_PERMANENTLY'],
    location: (request) => {
      const to = scheme || request.scheme;
      return `${to}://${host || requestHost(request, to, port !== '')}${port}${target(request.path)}`;
    },
  };
}

/** The Host of the request; its port goes when a new one is set, or when it was the old scheme's default. */
export function requestHost(request: RequestContext, scheme: string, newPort: boolean): string {
  const { authority } = request;
  const colon = authority[0] === '[' ? authority.lastIndexOf(']:') + 1 : authority.lastIndexOf(':');
  if (colon <= 0) return authority;
  const old = authority.slice(colon);
  const wasDefault = scheme !== request.scheme && old === (request.scheme === 'https' ? ':443' : ':80');
  return newPort || wasDefault ? authority.slice(0, colon) : authority;
}

function compileTarget(
  redirect: XdsRedirect,
  prefixLength: number | undefined,
  path: string,
): (path: string) => string {
  const { regexRewrite, stripQuery = false } = redirect;
  const pathRedirect = wireText(redirect.pathRedirect ?? '');
  const prefixRewrite = wireText(redirect.prefixRewrite ?? '');
  const strip = (text: string) => (stripQuery ? pathOnly(text) : text);
  if (pathRedirect) {
    // A query of its own replaces the request's and is never stripped.
    if (pathRedirect.includes('?')) return () => pathRedirect;
    return (from) => pathRedirect + (stripQuery ? '' : from.slice(pathOnly(from).length));
  }
  if (regexRewrite) {
    const replace = errorAt(`${path}.regexRewrite`, () =>
      compileByteRegex(regexRewrite.pattern.regex).replacer(wireText(regexRewrite.substitution ?? '')),
    );
    return (from) => {
      const only = pathOnly(from);
      return replace(only) + (stripQuery ? '' : from.slice(only.length));
    };
  }
  if (prefixRewrite !== '') return (from) => strip(prefixRewrite + from.slice(prefixLength ?? pathOnly(from).length));
  return strip;
}
