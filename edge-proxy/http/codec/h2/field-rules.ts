/** What a single field of an HTTP/2 message must be like (RFC 9113 section 8.2), whichever message it is of. */
import type { HeaderMap } from '../../message/header-map.ts';
import { detached, isToken } from '../h1/fields.ts';
import { Http2StreamError, invalidField } from './error.ts';
import { repeats } from './hpack/field-names.ts';

export type FieldKind = 'regular' | 'cookie' | 'host' | 'content-length';

const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;
const DELETE = 0x7f;

/** They speak of a connection, which HTTP/2 does by other means (section 8.2.2). */
const CONNECTION_FIELDS = ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'];

interface NameRule {
  readonly kind: FieldKind | 'te' | 'connection' | 'repeating';
  /** Of `repeating`: the last value that was found valid. */
  valid: string;
}

const rule = (kind: NameRule['kind']): NameRule => ({ kind, valid: '' });
/** Names that are valid. Bounded: a peer that sends ever new names fills it once. */
const rules = new Map<string, NameRule>([
  ['cookie', rule('cookie')],
  ['host', rule('host')],
  ['content-length', rule('content-length')],
  ['te', rule('te')],
  ...CONNECTION_FIELDS.map((name) => [name, rule('connection')] as const),
]);
const MOST_NAMES = 1024;
const LONGEST_KEPT = 64;
const LONGEST_VALID = 128;

export function isPseudo(name: string): boolean {
  return name.charCodeAt(0) === COLON;
}

/**
 * Checks a field that is not a pseudo-header field.
 * @throws MalformedMessage
 */
export function checkField(name: string, value: string): FieldKind {
  const known = rules.get(name) ?? learn(name);
  const { kind } = known;
  if (kind === 'repeating') {
    checkRepeating(known, value);
    return 'regular';
  }
  checkValue(value);
  if (kind === 'regular') return kind;
  if (kind === 'connection') throw invalidField('a field speaks of the connection');
  if (kind === 'te' && value.toLowerCase() !== 'trailers') throw invalidField('te is not "trailers"');
  return kind === 'te' ? 'regular' : kind;
}

function learn(name: string): NameRule {
  if (!isToken(name) || /[A-Z]/.test(name)) throw invalidField('the name of a field is malformed');
  const made = rule(repeats(name) ? 'repeating' : 'regular');
  if (rules.size < MOST_NAMES && name.length <= LONGEST_KEPT) rules.set(detached(name), made);
  return made;
}

/** Values that are the same in most messages, and no secrets, are compared with the last one. */
function checkRepeating(known: NameRule, value: string): void {
  if (value === known.valid) return;
  checkValue(value);
  if (value.length <= LONGEST_VALID) known.valid = value;
}

/** No control character but tabs within, and no blank at either end (RFC 9110 section 5.5, RFC 9113 section 8.2.1). */
function checkValue(value: string): void {
  const { length } = value;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code >= SPACE ? code === DELETE : code !== TAB)
      throw invalidField('the value of a field has a control character');
  }
  if (length > 0 && (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(length - 1)))) throw blankAtEnd();
}

/** Clients that other proxies tolerate send such values: their other streams continue, whatever the options say. */
function blankAtEnd(): Http2StreamError {
  const message = 'the value of a field begins or ends with a blank';
  return new Http2StreamError('PROTOCOL_ERROR', 'http2.invalid.header.field', message);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Appends a field as it came. */
export function appendField(headers: HeaderMap, name: string, value: string, neverIndexed: boolean): void {
  headers.append(name, value, name);
  if (neverIndexed) headers.neverIndexed = [...(headers.neverIndexed ?? []), name];
}

/**
 * Joins cookie crumbs to one field (section 8.2.3), as other protocols and filters know it. The limits of a list count
 * each crumb.
 */
export function appendCookie(headers: HeaderMap, crumb: string, neverIndexed: boolean): void {
  const at = headers.indexOf('cookie');
  if (at < 0) appendField(headers, 'cookie', crumb, neverIndexed);
  else if (headers.values[at] === '') headers.values[at] = crumb;
  else if (crumb !== '') headers.values[at] += `; ${crumb}`;
}

const digits = /^[0-9]{1,15}$/;

/** @param before of the same message; -1: none, as a second one is refused. @throws MalformedMessage */
export function contentLengthOf(value: string, before: number): number {
  if (before >= 0) throw invalidField('more than one content-length');
  if (!digits.test(value)) throw invalidField('content-length is no number');
  return Number(value);
}
