/** A fetch Request as the head of a message, and fields as fetch has them. */
import { HeaderMap } from '../../http/message/header-map.ts';
import type { RequestHead } from '../../http/message/message.ts';
import type { DownstreamInfo } from '../../http/stream.ts';

/** RFC 9110 section 7.6.1, and what only the mesh may say. */
const NOT_PASSED_ON = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'x-tulle-jwt-svid',
  'x-forwarded-client-cert',
  // The worker is the edge: what a client writes there proves nothing.
  'x-forwarded-for',
]);

/** The header in which the token travels; its likes from clients are dropped. */
export const JWT_SVID_HEADER = 'x-tulle-jwt-svid';

export function headOf(request: Request): RequestHead {
  const url = new URL(request.url);
  const headers = new HeaderMap();
  for (const [name, value] of request.headers) if (!NOT_PASSED_ON.has(name)) headers.append(name, value, name);
  const length = request.headers.get('content-length');
  return {
    method: request.method,
    scheme: url.protocol === 'https:' ? 'https' : 'http',
    authority: url.host,
    path: url.pathname + url.search,
    headers,
    bodySize: request.body === null ? 0 : length !== null && /^\d{1,15}$/.test(length) ? Number(length) : undefined,
    upgrade: request.headers.get('upgrade')?.toLowerCase() ?? '',
    wantsContinue: false,
    version: 'HTTP/1.1',
  };
}

export function downstreamOf(request: Request): DownstreamInfo {
  const url = new URL(request.url);
  const secure = url.protocol === 'https:';
  return {
    remoteAddress: clientAddress(request),
    remotePort: 0,
    localAddress: '',
    localPort: Number(url.port) || (secure ? 443 : 80),
    secure,
    serverName: secure ? url.hostname : '',
    peerUris: [],
    peerDns: [],
    peerSubject: '',
  };
}

/** What workerd says of the connection, never what the client says of itself. */
function clientAddress(request: Request): string {
  const { cf } = request as { cf?: { clientIp?: unknown } };
  return typeof cf?.clientIp === 'string' ? withoutPort(cf.clientIp) : '';
}

/** `1.2.3.4:80` -> `1.2.3.4`, `[::1]:80` -> `::1`; a bare address stays. */
function withoutPort(address: string): string {
  if (address[0] === '[') return address.slice(1, address.indexOf(']'));
  const colon = address.indexOf(':');
  return colon >= 0 && colon === address.lastIndexOf(':') ? address.slice(0, colon) : address;
}

/** Headers as fetch takes them: repeated ones stay apart. */
export function fetchHeaders(fields: HeaderMap): Headers {
  const out = new Headers();
  for (let i = 0; i < fields.size; i++) out.append(fields.names[i]!, fields.values[i]!);
  return out;
}

export function fieldsOf(headers: Headers): HeaderMap {
  const fields = new HeaderMap();
  for (const [name, value] of headers) fields.append(name, value);
  return fields;
}
