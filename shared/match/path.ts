/** The path of a request target: Envoy's normalisation (before any policy) and Istio's path templates. No query in here. */
import { compileRegex, type Regex } from './regex.ts';

/** Envoy's path_with_escaped_slashes_action. */
export type EscapedSlashes = 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD';

export interface PathNormalization {
  /** Envoy's normalize_path: dot segments, backslashes, needless escapes. Default true. */
  normalize?: boolean;
  mergeSlashes?: boolean;
  escapedSlashes?: EscapedSlashes;
}

/** Characters that a canonical path writes as they are although they came escaped: RFC 3986 unreserved. */
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
/** A path without any of these is in its canonical form. */
const SUSPICIOUS = /[%\\"#<>?^`{|}\u0000-\u0020\u007f-\uffff]|\/\.|^[^/]|^$/;
/** A dot segment that carries path parameters (RFC 3986 section 3.3), as in `/..;a=b/`. */
const DOT_WITH_PARAMETERS = /(^|\/)(\.\.?);[^/#]*/;
const ALL_DOTS_WITH_PARAMETERS = new RegExp(DOT_WITH_PARAMETERS, 'g');
const MUST_ESCAPE = /["<>?^`{|}\u0001-\u0020\u007f-\uffff]/;

/**
 * A path as policy and routing must see it, or undefined when the request is to be refused with 400.
 * With UNESCAPE_AND_REDIRECT the caller redirects when the result differs from the input.
 * Dot segments lose their path parameters (CVE-2026-73551); a path where only decoding reveals such a segment is refused.
 * @param path the request target up to `?`
 */
export function normalizePath(path: string, options: PathNormalization = {}): string | undefined {
  // Asterisk form (OPTIONS *) names no path.
  if (path === '*') return path;
  let out = path;
  const action = options.escapedSlashes ?? 'KEEP_UNCHANGED';
  if (action !== 'KEEP_UNCHANGED' && /%(2f|5c)/i.test(out)) {
    if (action === 'REJECT_REQUEST') return undefined;
    out = out.replace(/%2f/gi, '/').replace(/%5c/gi, '\\');
  }
  if (options.normalize !== false && SUSPICIOUS.test(out)) {
    const canonical = canonicalPath(withoutDotParameters(out));
    // Envoy looks for `..;` before it decodes, and forwards `/%2e%2e;/` as `/..;/`: servers may read that as `/../`.
    if (canonical === undefined || DOT_WITH_PARAMETERS.test(canonical)) return undefined;
    out = canonical;
  }
  return options.mergeSlashes && out.includes('//') ? mergeSlashes(out) : out;
}

/** As Envoy: a path of nothing but slashes keeps two of them. */
function mergeSlashes(path: string): string {
  return /^\/+$/.test(path) ? '//' : path.replace(/\/{2,}/g, '/');
}

function withoutDotParameters(path: string): string {
  return path.includes('.;') ? path.replace(ALL_DOTS_WITH_PARAMETERS, '$1$2') : path;
}

function canonicalPath(path: string): string | undefined {
  if (/[#\u0000]|%00/.test(path)) return undefined;
  const segments = unescapeUnreserved(path).replaceAll('\\', '/').split('/');
  if (segments[0] === '') segments.shift();
  const kept: string[] = [];
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    if (segment === '.' || segment === '..') {
      if (segment === '..') kept.pop();
      if (last) kept.push('');
    } else kept.push(segment);
  }
  return `/${kept.map(escapeSegment).join('/')}`;
}

const ESCAPE = /%([0-9a-fA-F]{2})/g;
/** A `%` that begins no escape, and (in `unescapeUnreserved`) its place. */
const STRAY_PERCENT = /%(?![0-9a-fA-F]{2})/g;
const PLACE = '\u0000';
const PLACE_BEFORE_HEX = new RegExp(`${PLACE}(?=[0-9a-fA-F]{2})`, 'g');

/**
 * Unescaping creates no new escape: `%2%65` becomes `%252e`, as in Envoy's canonicalizer.
 * @param path without U+0000
 */
function unescapeUnreserved(path: string): string {
  if (!path.includes('%')) return path;
  const stray = path.replace(STRAY_PERCENT, PLACE);
  const out = stray.replace(ESCAPE, unescapeOne);
  return out.includes(PLACE) ? out.replace(PLACE_BEFORE_HEX, '%25').replaceAll(PLACE, '%') : out;
}

function unescapeOne(whole: string, hex: string): string {
  const char = String.fromCharCode(Number.parseInt(hex, 16));
  return UNRESERVED.test(char) ? char : whole;
}

function escapeSegment(segment: string): string {
  if (!MUST_ESCAPE.test(segment)) return segment;
  let out = '';
  for (const char of segment) out += MUST_ESCAPE.test(char) ? percentEncode(char) : char;
  return out;
}

/** A character up to U+00FF is a raw byte of the request line; beyond that it is encoded as UTF-8. */
function percentEncode(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const bytes = code <= 0xff ? [code] : new TextEncoder().encode(char);
  let out = '';
  for (const byte of bytes) out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return out;
}

/**
 * Envoy's `path_separated_prefix`, and PathPrefix of the Gateway API: `/api` is a prefix of `/api` and `/api/v1`, not of
 * `/apis`. Plain `prefix` of Istio is `startsWith`.
 * @param prefix without a slash at its end
 */
export function hasPathPrefix(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}

/** Does an AuthorizationPolicy path use template operators `{*}` or `{**}`? */
export function isPathTemplate(path: string): boolean {
  return path.includes('{*}') || path.includes('{**}');
}

const LITERAL = /^[A-Za-z0-9\-._~%!$&'()+,;:@=]*$/;

/** Is this text valid as a segment of a path template? */
export function isTemplateLiteral(text: string): boolean {
  return LITERAL.test(text) && text !== '';
}

/** Why a path (template or not) is refused in an AuthorizationPolicy, or undefined (Istio's CheckValidPathTemplate). */
export function pathTemplateViolation(path: string): string | undefined {
  if (!/[{}]/.test(path)) return undefined;
  if (!isPathTemplate(path)) return `path "${path}": only the operators {*} and {**} are supported in braces`;
  let seenAny = false;
  for (const segment of path.replace(/^\//, '').split('/')) {
    if (segment === '{*}' || segment === '{**}') {
      if (seenAny) return `path "${path}": no operator may follow {**}`;
      seenAny = segment === '{**}';
    } else if (/[{}]/.test(segment)) {
      return `path "${path}": {*} and {**} must be a whole segment between slashes`;
    } else if (segment.includes('*')) {
      return `path "${path}": "*" cannot be combined with {*} or {**}`;
    } else if (segment !== '' && !isTemplateLiteral(segment)) {
      return `path "${path}": invalid characters in "${segment}"`;
    }
  }
  return undefined;
}

/**
 * Compiles a path template, also in Envoy's spelling (`*`, `**`): `{*}` is one segment, `{**}` any number of characters.
 * @throws RangeError when the template is not valid
 */
export function compilePathTemplate(template: string): Regex {
  const braced = template
    .split('/')
    .map((segment) => (segment === '*' ? '{*}' : segment === '**' ? '{**}' : segment))
    .join('/');
  const violation = pathTemplateViolation(braced);
  if (violation) throw new RangeError(violation);
  const pattern = braced.split('/').map((segment) => {
    if (segment === '{*}') return '[^/]+';
    return segment === '{**}' ? '.*' : segment.replace(/[.$()+*?[\]^{|}\\]/g, '\\$&');
  });
  return compileRegex(pattern.join('/'));
}
