/** The head that goes upstream: rewrites and header operations once per request, its text once per try. */

import type { ResponseHead } from '../codec/h1/head.ts';
import { headText } from '../codec/h1/message-writer.ts';
import type { ClusterChoice, ForwardAction } from '../route-table.ts';
import { expectedTimeoutMs, formatGrpcTimeout, type RequestTimeouts } from './request-timeouts.ts';
import type { RouterHost } from './router-host.ts';

/** Methods that mean no content. */
const bodiless = new Set(['GET', 'HEAD', 'DELETE', 'CONNECT', 'TRACE']);
const notInPath = /[^\x21-\x7e]/;

/**
 * @param upgrade lower-case, `connect`, or ''
 * @returns false: a rewrite made a path that cannot be sent
 */
export function prepareHead(
  exchange: RouterHost,
  action: ForwardAction,
  choice: ClusterChoice,
  upgrade: string,
): boolean {
  const { request, parts, head } = exchange;
  const { headers } = request;
  const before = request.path;
  choice.editRequest(request);
  const rewritten = action.rewrite(request);
  if (request.method !== 'CONNECT' && notInPath.test(request.path)) return false;
  if (!parts.suppressEnvoyHeaders && rewritten) headers.set('x-envoy-original-path', before);
  // Framing is this hop's own: no header operation may change what the bytes say.
  headers.remove('transfer-encoding');
  headers.remove('host');
  if (head.framing === 'length') headers.set('content-length', String(head.contentLength));
  else if (head.framing === 'chunked') headers.remove('content-length');
  else if (headers.has('content-length')) headers.set('content-length', '0');
  else if (upgrade === '' && !bodiless.has(request.method)) {
    // RFC 9110 section 8.6: methods that mean content say that there is none.
    headers.append('content-length', '0', 'content-length');
  }
  if (head.expectContinue && !parts.proxyContinue) headers.remove('expect');
  return true;
}

/**
 * Tells the upstream how long this try may take.
 * @param endedAt monotonic milliseconds at which the request was whole; 0: it is not yet
 */
export function tellTimeout(exchange: RouterHost, timeouts: RequestTimeouts, endedAt: number, hedge: boolean): void {
  const { request, parts } = exchange;
  const elapsed = endedAt === 0 ? 0 : parts.runtime.monotonicMs() - endedAt;
  const expected = expectedTimeoutMs(timeouts, elapsed, hedge);
  if (expected === 0) return;
  if (!parts.suppressEnvoyHeaders) request.headers.set('x-envoy-expected-rq-timeout-ms', String(expected));
  if (timeouts.tellGrpc) request.headers.set('grpc-timeout', formatGrpcTimeout(expected));
}

/** @param endedAt as for `tellTimeout` */
export function tellServiceTime({ request, parts }: RouterHost, head: ResponseHead, endedAt: number): void {
  const ms = parts.runtime.monotonicMs() - (endedAt === 0 ? request.startMs : endedAt);
  head.headers.set('x-envoy-upstream-service-time', String(Math.max(0, Math.round(ms))));
}

/** The head as it goes upstream, with its empty line. */
export function requestHeadText(exchange: RouterHost, upgrade: string): string {
  const { request, head } = exchange;
  const target = request.method === 'CONNECT' ? request.authority : request.path;
  let text = headText(`${request.method} ${target} HTTP/1.1\r\nhost: ${request.authority}\r\n`, request.headers);
  if (head.framing === 'chunked') text += 'transfer-encoding: chunked\r\n';
  if (upgrade !== '' && upgrade !== 'connect') text += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
  return `${text}\r\n`;
}
