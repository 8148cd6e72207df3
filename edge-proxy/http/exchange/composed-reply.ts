/** An answer made here: what the local reply map and gRPC make of it, as status, fields and bytes. */

import { HeaderMap } from '../message/header-map.ts';
import { bodyBytes, bodyText, grpcHeaders } from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply } from '../request/request-context.ts';
import type { LocalReplyMap } from './local-reply-map.ts';

export interface ComposedReply {
  readonly status: number;
  readonly headers: HeaderMap;
  readonly body: Uint8Array;
}

export function composeReply(
  made: LocalReply,
  request: ProxyRequest,
  mapReply: LocalReplyMap | undefined,
): ComposedReply {
  const headers = new HeaderMap();
  const mapped = mapReply?.(request, made);
  const { status: wanted, body: given } = mapped ?? made;
  const { isGrpc: grpc } = request;
  const status = grpc ? 200 : wanted;
  // RFC 9110 section 6.4.1, regardless of filters and mappers.
  const bodyless = status === 204 || status === 304;
  const body = bodyBytes(grpc || bodyless ? '' : given);
  // A format may end in a line feed, which a header cannot.
  if (grpc) grpcHeaders(wanted, bodyText(given).replace(/\n$/, ''), headers, made.grpcStatus);
  if (body.length > 0) {
    headers.append('content-length', String(body.length), 'content-length');
    headers.append('content-type', mapped?.contentType ?? 'text/plain', 'content-type');
  } else if (!bodyless && request.protocol !== 'HTTP/2') headers.append('content-length', '0', 'content-length');
  if (made.headers)
    for (const key of Object.keys(made.headers))
      if (!grpc || key !== 'content-type') setField(headers, key, made.headers[key]!);
  mapped?.editHeaders(headers);
  return { status, headers, body };
}

function setField(headers: HeaderMap, key: string, value: string | readonly string[]): void {
  if (typeof value === 'string') {
    headers.set(key, value);
    return;
  }
  headers.remove(key);
  for (const one of value) headers.append(key, one, key);
}
