/** Header blocks as heads of messages and trailers (RFC 9113 section 8). */
import { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import { messagingError } from './connection/stream.ts';
import { checkTrailers, type Field, readResponseHead } from './fields.ts';

function mapOf(fields: readonly Field[]): HeaderMap {
  const headers = new HeaderMap();
  for (const [name, value] of fields) headers.append(name, value, name);
  return headers;
}

/** @throws CodecError for a head that is malformed */
export function requestHead(fields: readonly Field[], endStream: boolean): RequestHead {
  const pseudo = new Map<string, string>();
  const headers = new HeaderMap();
  for (const [name, value] of fields) {
    if (name[0] !== ':') {
      headers.append(name, value, name);
      continue;
    }
    if (headers.size > 0 || pseudo.has(name)) throw messagingError('pseudo-header fields out of order');
    pseudo.set(name, value);
  }
  checked(() => checkTrailers(fields.filter(([name]) => name[0] !== ':' && name !== 'te')));
  const method = pseudo.get(':method');
  const protocol = pseudo.get(':protocol');
  if (method === undefined) throw messagingError('no :method');
  const tunnel = method === 'CONNECT';
  if ((!tunnel || protocol !== undefined) && (!pseudo.has(':path') || !pseudo.has(':scheme')))
    throw messagingError('no :path or no :scheme');
  const length = headers.get('content-length');
  return {
    method: protocol === undefined ? method : 'GET',
    scheme: (pseudo.get(':scheme') as RequestHead['scheme']) ?? '',
    authority: pseudo.get(':authority') ?? '',
    path: pseudo.get(':path') ?? '',
    headers,
    bodySize: endStream || tunnel ? 0 : length === undefined ? undefined : Number(length),
    upgrade: protocol ?? (tunnel ? 'connect' : ''),
    wantsContinue: headers.get('expect') === '100-continue',
    version: 'HTTP/2',
  };
}

/** @throws CodecError for a head that is malformed */
export function responseHead(fields: readonly Field[], endStream: boolean): ResponseHead {
  const { status, fields: regular, contentLength } = checked(() => readResponseHead(fields));
  return { status, headers: mapOf(regular), bodySize: endStream ? 0 : contentLength, upgrade: '', version: 'HTTP/2' };
}

/** @throws CodecError for trailers that are malformed */
export function trailersOf(fields: readonly Field[]): HeaderMap {
  checked(() => checkTrailers(fields));
  return mapOf(fields);
}

function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw messagingError(error instanceof Error ? error.message : '');
  }
}
