/** Heads of HTTP/1.1 messages: parsing them and judging their framing (RFC 9112 sections 2 to 6). */

import { CodecError, codecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import { checkCharacters, detached, hasToken, parseFields } from './fields.ts';

/** How the end of a body is found (RFC 9112 section 6). */
export type Framing = 'none' | 'length' | 'chunked' | 'until-close';

/** What a head says of its own connection alone. */
interface WireFacts {
  readonly framing: Framing;
  /** The peer means to keep the connection. */
  readonly keepAlive: boolean;
}

export interface Http1RequestHead extends RequestHead, WireFacts {}

export interface Http1ResponseHead extends ResponseHead, WireFacts {
  readonly reason: string;
}

export interface CodecLimits {
  /** Bytes of start line and fields together. */
  readonly maxHeadBytes: number;
  readonly maxFields: number;
  /** Bytes of a request target. */
  readonly maxTargetBytes: number;
  readonly acceptHttp10: boolean;
  /** Replaces a missing Host of HTTP/1.0; '' refuses. */
  readonly defaultHost: string;
  /** Of a protocol in Upgrade: it is removed, as if the client had not offered it. Absent: none is. */
  readonly ignoresUpgrade?: ((protocol: string) => boolean) | undefined;
}

export const defaultLimits: CodecLimits = {
  maxHeadBytes: 60 * 1024,
  maxFields: 100,
  maxTargetBytes: 32 * 1024,
  acceptHttp10: false,
  defaultHost: '',
};

/** Envoy's known methods and M-SEARCH; any other is answered 400, as Envoy does without allow_custom_methods. */
const methods = new Set(
  (
    'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY ' +
    'OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK ' +
    'UNSUBSCRIBE'
  ).split(' '),
);
/** What `RequestHead.upgrade` says of a CONNECT; no upgrade may have the name. */
const CONNECT = 'connect';
const notInTarget = /[^\x21-\x7e]/;
const authorityForm = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?$/;
/** The host of an absolute-form target is narrower (RFC 3986 allows any escape; Envoy 1.40 and this proxy do not). */
const absoluteHost = /^(?:[A-Za-z0-9\-.]+(?::\d+)?$|\[)/;

/** Authorities that were found valid. Bounded: a peer sending ever new hosts fills it once. */
const goodAuthorities = new Set<string>();
const goodAuthoritiesLimit = 1024;

/** Host with an optional port, no user information. */
export function isAuthority(text: string): boolean {
  if (goodAuthorities.has(text)) return true;
  if (!judgeAuthority(text)) return false;
  if (goodAuthorities.size < goodAuthoritiesLimit && text.length <= 255) goodAuthorities.add(detached(text));
  return true;
}

function judgeAuthority(text: string): boolean {
  const found = authorityForm.exec(text);
  return found !== null && (found[1] === undefined || Number(found[1]) <= 65535);
}

/** @param head start line and field lines, each with its CRLF, without the empty line */
export function parseRequestHead(head: string, limits: CodecLimits): Http1RequestHead {
  checkCharacters(head);
  const lineEnd = head.indexOf('\r\n');
  const first = head.indexOf(' ');
  const second = head.indexOf(' ', first + 1);
  if (first <= 0 || second < 0 || second > lineEnd) {
    // A request line that ends with its target is HTTP/0.9's.
    throw /^[A-Z]+ \/\S*\r/.test(head) ? lowVersion() : codecError('malformed request line');
  }
  const method = head.slice(0, first);
  if (!methods.has(method)) throw codecError('unknown method');
  const target = head.slice(first + 1, second);
  const minor = minorVersion(head.slice(second + 1, lineEnd));
  if (target.length > limits.maxTargetBytes) throw new CodecError(414, 'uri_too_long', 'request target too long');
  if (target.length === 0 || notInTarget.test(target)) throw invalidTarget();
  if (minor === 0 && !limits.acceptHttp10) throw lowVersion();
  const headers = parseFields(head, lineEnd + 2, head.length, limits.maxFields);
  const host = takeHost(headers, minor, target, limits.defaultHost);
  return judgeRequest(method, target, host, minor, headers, limits.ignoresUpgrade);
}

function minorVersion(version: string): 0 | 1 {
  if (version === 'HTTP/1.1') return 1;
  if (version === 'HTTP/1.0') return 0;
  if (/^HTTP\/\d\.\d$/.test(version)) throw lowVersion();
  throw codecError('malformed version');
}

function versionOf(minor: 0 | 1): 'HTTP/1.0' | 'HTTP/1.1' {
  return minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0';
}

/** Any version but those of HTTP/1 (RFC 9110 section 15.5.22). */
function lowVersion(): CodecError {
  return new CodecError(426, 'low_version', 'HTTP version is not accepted');
}

function invalidTarget(): CodecError {
  return new CodecError(400, 'http1.invalid_url', 'invalid request target');
}

/** Exactly one valid Host (RFC 9112 section 3.2); removed from the fields. '': the target names it. */
function takeHost(headers: HeaderMap, minor: 0 | 1, target: string, defaultHost: string): string {
  const at = headers.indexOf('host');
  if (at < 0) {
    // HTTP/1.0 has no Host; a target that is no path, and not `*`, has a host of its own.
    if (minor === 0 && target.charCodeAt(0) !== 0x2f && target !== '*') return '';
    if (minor === 0 && defaultHost !== '') return defaultHost;
    throw new CodecError(400, 'missing_host_header', 'no Host');
  }
  if (headers.indexOf('host', at + 1) >= 0) throw codecError('more than one Host');
  const host = headers.values[at]!;
  if (host === '') throw new CodecError(400, 'missing_host_header', 'empty Host');
  if (!isAuthority(host)) throw codecError('invalid Host');
  headers.remove('host');
  return host;
}

function judgeRequest(
  method: string,
  target: string,
  host: string,
  minor: 0 | 1,
  headers: HeaderMap,
  ignoresUpgrade: CodecLimits['ignoresUpgrade'],
): Http1RequestHead {
  const length = contentLength(headers);
  const chunked = isChunked(headers, minor, length);
  const connection = headers.joined('connection');
  const waits = headers.get('expect')?.toLowerCase() === '100-continue';
  // RFC 9110 section 10.1.1: HTTP/1.0 does not know it.
  if (waits && minor === 0) headers.remove('expect');
  let path = target;
  let authority = host;
  let scheme: '' | 'http' | 'https' = '';
  if (method === 'CONNECT') {
    if (chunked) throw new CodecError(501, 'http1.invalid_transfer_encoding', 'CONNECT with a body');
    if (length > 0) throw new CodecError(400, 'http1.body_disallowed', 'CONNECT with a body');
    if (!isAuthority(target)) throw invalidTarget();
    authority = target;
    path = '';
  } else if (target.charCodeAt(0) !== 0x2f) {
    if (target === '*') {
      if (method !== 'OPTIONS') throw invalidTarget();
    } else [scheme, authority, path] = absoluteForm(target);
  }
  // A fragment never belongs in a request target (RFC 9112 section 3.2); policy and upstream might cut it differently.
  if (path.includes('#')) throw new CodecError(400, 'path_normalization_failed', 'fragment in a request target');
  return {
    method,
    path,
    authority,
    scheme,
    headers,
    bodySize: chunked ? undefined : Math.max(length, 0),
    upgrade: method === 'CONNECT' ? CONNECT : offeredUpgrade(headers, connection, ignoresUpgrade),
    wantsContinue: waits && minor === 1,
    version: versionOf(minor),
    framing: chunked ? 'chunked' : length > 0 ? 'length' : 'none',
    keepAlive: keepsAlive(connection, minor),
  };
}

function absoluteForm(target: string): ['http' | 'https', string, string] {
  const lower = target.slice(0, 8).toLowerCase();
  const scheme = lower.startsWith('http://') ? 'http' : lower === 'https://' ? 'https' : undefined;
  if (!scheme) throw invalidTarget();
  const start = scheme.length + 3;
  const slash = target.indexOf('/', start);
  const question = target.indexOf('?', start);
  let end = slash < 0 ? target.length : slash;
  if (question >= 0 && question < end) end = question;
  const authority = target.slice(start, end);
  if (!absoluteHost.test(authority) || !isAuthority(authority)) throw invalidTarget();
  const rest = target.slice(end);
  return [scheme, authority, rest.charCodeAt(0) === 0x2f ? rest : `/${rest}`];
}

/** -1 when absent. A second Content-Length or a list is refused even when the values agree. */
function contentLength(headers: HeaderMap): number {
  const at = headers.indexOf('content-length');
  if (at < 0) return -1;
  if (headers.indexOf('content-length', at + 1) >= 0) throw codecError('more than one Content-Length');
  const value = headers.values[at]!;
  const length = decimal(value);
  if (length < 0) throw codecError('invalid Content-Length');
  return length;
}

/** One to 15 digits and nothing else; -1 for any other text. */
function decimal(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let number = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}

function isChunked(headers: HeaderMap, minor: 0 | 1, length: number): boolean {
  const coding = headers.joined('transfer-encoding');
  if (coding === undefined) return false;
  if (length >= 0) {
    throw new CodecError(
      400,
      'http1.content_length_and_chunked_not_allowed',
      'both Content-Length and Transfer-Encoding',
    );
  }
  if (minor === 0) throw new CodecError(400, 'http1.transfer_encoding_not_allowed', 'Transfer-Encoding in HTTP/1.0');
  if (coding.toLowerCase() !== 'chunked') {
    throw new CodecError(501, 'http1.invalid_transfer_encoding', 'unsupported Transfer-Encoding');
  }
  return true;
}

function keepsAlive(connection: string | undefined, minor: 0 | 1): boolean {
  if (connection === 'keep-alive') return true;
  if (connection === undefined) return minor === 1;
  return minor === 1 ? !hasToken(connection, 'close') : hasToken(connection, 'keep-alive');
}

/** Removes what is ignored from the field, so that filters and the upstream do not see it either. */
function offeredUpgrade(
  headers: HeaderMap,
  connection: string | undefined,
  ignores: CodecLimits['ignoresUpgrade'],
): string {
  const offered = upgradeOf(headers, connection);
  // It would be judged as one message and sent as another.
  if (offered === CONNECT) throw codecError('an upgrade to "connect"');
  if (offered === '' || ignores === undefined) return offered;
  const protocols = headers
    .joined('upgrade')!
    .split(',')
    .map((one) => one.trim());
  const kept = protocols.filter((one) => !ignores(one));
  if (kept.length === protocols.length) return offered;
  headers.remove('upgrade');
  if (kept.length > 0) headers.append('upgrade', kept.join(','), 'upgrade');
  return kept.join(',').toLowerCase();
}

function upgradeOf(headers: HeaderMap, connection: string | undefined): string {
  const value = headers.joined('upgrade');
  return value !== undefined && value !== '' && hasToken(connection, 'upgrade') ? value.toLowerCase() : '';
}

const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/;

interface StatusLine {
  readonly minor: 0 | 1;
  readonly status: number;
  readonly reason: string;
}
/** Servers write the same few status lines. Bounded: one that invents reasons fills it once. */
const statusLines = new Map<string, StatusLine>();
const statusLinesLimit = 256;
/** The one that came last: found again without a text of its own. */
let last: { readonly text: string; readonly line: StatusLine } | undefined;

/** The status line in `head[0, end)`. */
function statusLineOf(head: string, end: number): StatusLine {
  if (last !== undefined && last.text.length === end && head.startsWith(last.text)) return last.line;
  const text = head.slice(0, end);
  const line = parseStatusLine(text);
  if (end <= 128) last = { text: detached(text), line };
  return line;
}

function parseStatusLine(text: string): StatusLine {
  const known = statusLines.get(text);
  if (known) return known;
  const line = statusLine.exec(text);
  if (!line) throw codecError('malformed status line');
  const made: StatusLine = { minor: line[1] === '1' ? 1 : 0, status: Number(line[2]), reason: line[3] ?? '' };
  if (statusLines.size < statusLinesLimit && text.length <= 128)
    statusLines.set(detached(text), { ...made, reason: detached(made.reason) });
  return made;
}

/**
 * @param method of the request this answers: HEAD has no body, a 2xx to CONNECT opens a tunnel
 * @throws CodecError
 */
export function parseResponseHead(head: string, method: string, limits: CodecLimits): Http1ResponseHead {
  checkCharacters(head);
  const lineEnd = head.indexOf('\r\n');
  const { minor, status, reason } = statusLineOf(head, lineEnd);
  const headers = parseFields(head, lineEnd + 2, head.length, limits.maxFields);
  const length = contentLength(headers);
  const chunked = isChunked(headers, minor, length);
  const connection = headers.joined('connection');
  const tunnel = status === 101 || (method === 'CONNECT' && status >= 200 && status < 300);
  // RFC 9110 section 8.6, RFC 9112 section 6.1; parsers disagree on whether such a body is there.
  if ((tunnel || status < 200) && (chunked || length > 0)) throw codecError('body framing without a body');
  if (status === 204 && (chunked || length > 0)) throw codecError('204 with a body');
  const bodyless = method === 'HEAD' || status === 204 || status === 304 || status < 200 || tunnel || length === 0;
  const framing = bodyless ? 'none' : chunked ? 'chunked' : length > 0 ? 'length' : 'until-close';
  return {
    status,
    reason,
    headers,
    bodySize: framing === 'length' ? length : framing === 'none' ? 0 : undefined,
    upgrade: status === 101 ? upgradeOf(headers, connection) : '',
    version: versionOf(minor),
    framing,
    keepAlive: framing !== 'until-close' && keepsAlive(connection, minor),
  };
}
