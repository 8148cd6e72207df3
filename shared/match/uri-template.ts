/**
 * Envoy's URI templates (envoy.extensions.path.match.uri_template.v3): `*` one segment, `**` any rest, `{name}` and
 * `{name=pattern}` the same by name, and rewrites that insert the named parts into a new path. Compiled once; a match is
 * one regular expression of RE2 semantics.
 */
import { compileRegex } from './regex.ts';

/** RFC 3986 unreserved, percent-encoded, sub-delims without `*`, and `:@`. */
const SEGMENT = "[-a-zA-Z0-9._~%!$&'()+,;:@=]";
const LITERAL = /^[-a-zA-Z0-9._~%!$&'()+,;:@=]+$/;
const NAME = /^[a-zA-Z][a-zA-Z0-9_]{0,15}$/;
const MAX_VARIABLES = 5;
const REWRITE_LITERAL = /^[-a-zA-Z0-9._~%!$&'()+,;:@=/*]*$/;

export interface UriTemplate {
  /** @param path without query */
  matches(path: string): boolean;
  /**
   * Compiles a rewrite such as `/new/{name}`.
   * @returns the new path of a path that matches
   * @throws RangeError for a name the template does not have
   */
  rewriter(rewrite: string): (path: string) => string;
}

/** @throws RangeError naming what is wrong with the template */
export function compileUriTemplate(template: string): UriTemplate {
  const invalid = (why: string) => new RangeError(`path template "${template}": ${why}`);
  if (!template.startsWith('/')) throw invalid('must start with "/"');
  const names: string[] = [];
  let anyRest = false;
  const piece = (text: string): string => {
    if (anyRest) throw invalid('nothing may follow "**"');
    if (text === '**') {
      anyRest = true;
      return `(?:${SEGMENT}|/)*`;
    }
    if (text === '*') return `${SEGMENT}+`;
    if (!LITERAL.test(text)) throw invalid(`"${text}" is no literal, "*", "**" or variable`);
    return text.replace(/[.$()+*?[\]^{|}\\]/g, '\\$&');
  };
  const variable = (inner: string): string => {
    const equals = inner.indexOf('=');
    const name = equals < 0 ? inner : inner.slice(0, equals);
    if (!NAME.test(name)) throw invalid(`"${name}" is no name of a variable`);
    if (names.includes(name)) throw invalid(`has two variables "${name}"`);
    if (names.push(name) > MAX_VARIABLES) throw invalid(`has more than ${MAX_VARIABLES} variables`);
    const pattern = equals < 0 ? '*' : inner.slice(equals + 1);
    if (pattern === '') throw invalid(`variable "${name}" has an empty pattern`);
    return `(${pattern.split('/').map(piece).join('/')})`;
  };
  const parts = splitOutsideBraces(template.slice(1), invalid).map((part) => {
    if (part === '') return '';
    return part[0] === '{' ? variableWithSuffix(part, variable, piece, invalid) : piece(part);
  });
  if (parts.slice(0, -1).includes('')) throw invalid('has an empty segment');
  const source = `/${parts.join('/')}`;
  const regex = compileRegex(source);
  return {
    matches: (path) => regex.matches(path),
    rewriter: (rewrite) => {
      const substitution = substitutionOf(rewrite, names);
      const replace = compileRegex(`^${source}$`).replacer(substitution);
      return (path) => replace(path);
    },
  };
}

function variableWithSuffix(
  part: string,
  variable: (inner: string) => string,
  piece: (text: string) => string,
  invalid: (why: string) => RangeError,
): string {
  const close = part.indexOf('}');
  if (close < 0) throw invalid('has "{" without "}"');
  const suffix = part.slice(close + 1);
  if (suffix.includes('{') || suffix === '*' || suffix === '**') throw invalid('two operators in one segment');
  // A literal may follow a variable in its segment, as in `{id}.json`.
  return variable(part.slice(1, close)) + (suffix === '' ? '' : piece(suffix));
}

function splitOutsideBraces(text: string, invalid: (why: string) => RangeError): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '{') depth++;
    else if (text[at] === '}') depth--;
    else if (text[at] === '/' && depth === 0) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
    if (depth < 0 || depth > 1) throw invalid('has unmatched or nested braces');
  }
  if (depth !== 0) throw invalid('has "{" without "}"');
  parts.push(text.slice(from));
  return parts;
}

/** `/a/{name}` to a substitution of numbered groups. */
function substitutionOf(rewrite: string, names: readonly string[]): string {
  const invalid = (why: string) => new RangeError(`path template rewrite "${rewrite}": ${why}`);
  if (!rewrite.startsWith('/')) throw invalid('must start with "/"');
  let out = '';
  for (let at = 0; at < rewrite.length; ) {
    const open = rewrite.indexOf('{', at);
    const literal = rewrite.slice(at, open < 0 ? rewrite.length : open);
    if (!REWRITE_LITERAL.test(literal) || literal.includes('//')) throw invalid(`"${literal}" is no literal`);
    out += literal;
    if (open < 0) break;
    const close = rewrite.indexOf('}', open);
    const name = rewrite.slice(open + 1, close);
    const index = close < 0 ? -1 : names.indexOf(name);
    if (index < 0) throw invalid(`"${name}" is no variable of the match`);
    out += `\\${index + 1}`;
    at = close + 1;
  }
  return out;
}
