/** An answer made here: what the local reply map and gRPC make of it, as status, fields and bytes. */

import { grpcHeaders, isGrpc } from '../local-reply.ts';
import type { LocalReplyMap } from '../local-reply-map.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { LocalReply } from '../stream.ts';
import type { ProxyRequest } from './proxy-request.ts';

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
  const { status: wanted, body: text } = mapped ?? made;
  const grpc = isGrpc(request.headers.get('content-type'));
  const status = grpc ? 200 : wanted;
  const body = new TextEncoder().encode(grpc ? '' : text);
  // A format may end in a line feed, which a header cannot.
  if (grpc) grpcHeaders(wanted, text.replace(/\n$/, ''), headers, made.grpcStatus);
  if (body.length > 0) {
    headers.append('content-length', String(body.length), 'content-length');
    headers.append('content-type', mapped?.contentType ?? 'text/plain', 'content-type');
  } else if (status !== 204 && status !== 304) headers.append('content-length', '0', 'content-length');
  if (made.headers)
    for (const key of Object.keys(made.headers))
      if (!grpc || key !== 'content-type') headers.set(key, made.headers[key]!);
  mapped?.editHeaders(headers);
  return { status, headers, body };
}
