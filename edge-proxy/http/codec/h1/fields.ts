/** Field lines (RFC 9112 section 5, RFC 9110 section 5): strict, one pass, few allocations. */

import { CodecError, codecError } from '../../message/codec-error.ts';
import { HeaderMap } from '../../message/header-map.ts';

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** False for control characters, and a CR or LF that is not half of a CRLF: no head may hold them. */
function isClean(head: string): boolean {
  for (let at = 0; at < head.length; at++) {
    const code = head.charCodeAt(at);
    if (code >= 0x20 && code !== 0x7f) continue;
    if (code === 0x0d && head.charCodeAt(at + 1) === 0x0a) at++;
    else if (code !== 0x09) return false;
  }
  return true;
}

export function isToken(text: string): boolean {
  return token.test(text);
}

/** @throws CodecError when a head holds control characters or bare line ends */
export function checkCharacters(head: string): void {
  if (!isClean(head)) {
    throw new CodecError(400, 'http1.invalid_characters', 'control character or bare CR or LF in a head');
  }
}

/** Validated field name -> its lower-case form. Bounded: a peer sending ever new names fills it once. */
const known = new Map<string, string>();
const knownLimit = 1024;

function keyOf(name: string): string {
  const cached = known.get(name);
  if (cached !== undefined) return cached;
  if (!token.test(name)) throw codecError('invalid field name');
  const key = name.toLowerCase();
  if (known.size < knownLimit && name.length <= longestKept) known.set(detached(name), detached(key));
  return key;
}

const longestKept = 64;

interface FieldName {
  /** As received. */
  readonly name: string;
  readonly key: string;
}

/** The last names seen, by length and first and last character: they are found again without a text of their own. */
const recent: (FieldName | undefined)[] = new Array(256).fill(undefined);

/** The name in `head[at, colon)`. @throws CodecError where it is none */
function fieldName(head: string, at: number, colon: number): FieldName {
  const length = colon - at;
  const place = (length * 5 + head.charCodeAt(at) * 3 + head.charCodeAt(colon - 1)) & 255;
  const found = recent[place];
  if (found !== undefined && found.name.length === length && head.startsWith(found.name, at)) return found;
  const name = head.slice(at, colon);
  const made = { name, key: keyOf(name) };
  if (length <= longestKept) recent[place] = { name: detached(name), key: detached(made.key) };
  return made;
}

/** The same text as a string of its own: a part of a head keeps the whole head in memory. */
export function detached(text: string): string {
  return ` ${text}`.slice(1);
}

/** Framing fields. */
export function isFraming(key: string): boolean {
  return key === 'content-length' || key === 'transfer-encoding';
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * Parses the field lines in `head[at, end)`, each ending in CRLF; `checkCharacters` has passed over them.
 * @throws CodecError 431 above `maxFields`, 400 for an invalid name, a space before the colon or a folded line
 */
export function parseFields(head: string, from: number, end: number, maxFields: number): HeaderMap {
  const headers = new HeaderMap();
  let at = from;
  while (at < end) {
    const lineEnd = head.indexOf('\r\n', at);
    const colon = head.indexOf(':', at);
    if (colon < 0 || colon > lineEnd) throw codecError('field line without a colon');
    let start = colon + 1;
    let stop = lineEnd;
    while (start < stop && isBlank(head.charCodeAt(start))) start++;
    while (stop > start && isBlank(head.charCodeAt(stop - 1))) stop--;
    if (headers.size >= maxFields) throw new CodecError(431, 'http1.too_many_headers', 'too many fields');
    const { name, key } = fieldName(head, at, colon);
    // A tab around framing is rejected: parsers disagree on it (request smuggling).
    if (isFraming(key) && head.slice(colon, lineEnd).includes('\t')) throw codecError('tab in a framing field');
    headers.append(name, head.slice(start, stop), key);
    at = lineEnd + 2;
  }
  return headers;
}

/** Without spaces and tabs around it; `trim` would take more than HTTP calls white space. */
function trimBlanks(text: string): string {
  let start = 0;
  let stop = text.length;
  while (start < stop && isBlank(text.charCodeAt(start))) start++;
  while (stop > start && isBlank(text.charCodeAt(stop - 1))) stop--;
  return text.slice(start, stop);
}

/** Whether a comma-separated field holds a token, in any case. */
export function hasToken(value: string | undefined, wanted: string): boolean {
  if (value === undefined) return false;
  if (value.length === wanted.length) return value.toLowerCase() === wanted;
  if (value.length < wanted.length) return false;
  if (!value.includes(',') && trimBlanks(value).length !== wanted.length) return false;
  for (const part of value.toLowerCase().split(',')) if (trimBlanks(part) === wanted) return true;
  return false;
}
