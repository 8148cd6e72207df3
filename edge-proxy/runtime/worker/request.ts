/** A fetch Request as filters and routes see it. */
import { HeaderMap } from '../../http/message/header-map.ts';
import type { DownstreamInfo, RequestContext } from '../../http/stream.ts';

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
]);

/** The header in which the token travels; its likes from clients are dropped. */
export const JWT_SVID_HEADER = 'x-tulle-jwt-svid';

/** @param startMs monotonic milliseconds */
export function requestContext(request: Request, startMs: number): RequestContext {
  const url = new URL(request.url);
  const remoteAddress = clientAddress(request);
  const headers = new HeaderMap();
  for (const [name, value] of request.headers) if (!NOT_PASSED_ON.has(name)) headers.append(name, value, name);
  const path = url.pathname + url.search;
  const secure = url.protocol === 'https:';
  const downstream: DownstreamInfo = {
    remoteAddress,
    remotePort: 0,
    localAddress: '',
    localPort: Number(url.port) || (secure ? 443 : 80),
    secure,
    serverName: secure ? url.hostname : '',
    peerUris: [],
    peerDns: [],
    peerSubject: '',
  };
  return {
    kind: 'request',
    downstream,
    method: request.method,
    path,
    originalPath: path,
    authority: url.host,
    scheme: secure ? 'https' : 'http',
    protocol: 'HTTP/1.1',
    headers,
    startMs,
    endMs: 0,
    remoteIp: remoteAddress,
    route: undefined,
    cluster: undefined,
    upstreamHost: undefined,
    attempts: 1,
    responseCode: 0,
    details: '',
    flags: [],
    bytesReceived: 0,
    bytesSent: 0,
    metadata: undefined,
    tokenPrincipal: undefined,
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
