/**
 * Heads and trailers as the fields of a header block (RFC 9113 sections 8.2 and 8.3). What HTTP/1.1 says of its connection
 * is never sent, so that no message means something else at the next hop.
 */
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import { hasToken } from '../h1/fields.ts';
import type { ByteBuffer } from './byte-buffer.ts';
import type { HeaderEncoder } from './header-block.ts';

/** Fields of connections, and `host`, which is sent as :authority. */
const NOT_SENT = [
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'host',
];
const statuses: readonly string[] = Array.from({ length: 600 }, (_, status) => String(status));

/** @param secure the connection is TLS: the scheme of a request that names none */
export function writeRequest(encoder: HeaderEncoder, out: ByteBuffer, head: RequestHead, secure: boolean): void {
  const { upgrade } = head;
  encoder.begin(out);
  if (upgrade === 'connect') {
    encoder.field(out, ':method', 'CONNECT');
    encoder.field(out, ':authority', head.authority);
  } else {
    // An upgrade is an extended CONNECT (RFC 8441 section 4).
    encoder.field(out, ':method', upgrade === '' ? head.method : 'CONNECT');
    if (upgrade !== '') encoder.field(out, ':protocol', upgrade);
    encoder.field(out, ':scheme', head.scheme === '' ? (secure ? 'https' : 'http') : head.scheme);
    encoder.field(out, ':authority', head.authority);
    encoder.field(out, ':path', head.path);
  }
  writeFields(encoder, out, head.headers);
}

/** The 101 of an upgrade is sent as 200 (RFC 8441 section 5). */
export function writeResponse(encoder: HeaderEncoder, out: ByteBuffer, { status, headers }: ResponseHead): void {
  encoder.begin(out);
  encoder.field(out, ':status', status === 101 ? '200' : (statuses[status] ?? String(status)));
  writeFields(encoder, out, headers);
}

export function writeTrailers(encoder: HeaderEncoder, out: ByteBuffer, trailers: HeaderMap): void {
  encoder.begin(out);
  writeFields(encoder, out, trailers);
}

function writeFields(encoder: HeaderEncoder, out: ByteBuffer, headers: HeaderMap): void {
  const { keys, values, neverIndexed } = headers;
  const left = leftOut(headers);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (left?.has(key)) continue;
    encoder.field(out, key, values[i]!, neverIndexed?.includes(key));
  }
  if (left?.has('te') && hasToken(headers.joined('te'), 'trailers')) encoder.field(out, 'te', 'trailers');
}

/** Names that are not sent as they are; undefined, for nearly every message: there is none. */
function leftOut(headers: HeaderMap): ReadonlySet<string> | undefined {
  let found: Set<string> | undefined;
  for (const name of NOT_SENT) if (headers.has(name)) found = (found ?? new Set()).add(name);
  const te = headers.get('te');
  if (te !== undefined && (te !== 'trailers' || headers.joined('te') !== te)) found = (found ?? new Set()).add('te');
  if (found?.has('connection')) addNamed(found, headers.joined('connection')!);
  return found;
}

/** What Connection names is of the connection too (RFC 9110 section 7.6.1); `te` has a rule of its own. */
function addNamed(found: Set<string>, connection: string): void {
  for (const part of connection.split(',')) {
    const name = part.trim().toLowerCase();
    if (name !== '' && name !== 'te') found.add(name);
  }
}
