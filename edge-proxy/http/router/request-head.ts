/** The head that goes upstream: rewrites and header operations once per request, what concerns an attempt for each. */
import type { Clock } from '../../runtime/runtime.ts';
import { formatGrpcTimeout } from '../grpc/timeout.ts';
import type { ResponseHead } from '../message/message.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import { expectedTimeoutMs, type RequestTimeouts } from '../routing/request-timeouts.ts';
import type { ClusterChoice, ForwardAction } from '../routing/route-table.ts';
import type { RouterConfig } from './router-config.ts';

type HeadRules = Pick<RouterConfig, 'suppressEnvoyHeaders' | 'proxyContinue' | 'clock'>;

/** This hop's own framing, which no header operation may change, and what the router of an Envoy consumes. */
const notForwarded = [
  'host',
  'transfer-encoding',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-upstream-stream-duration-ms',
];
const notInPath = /[^\x21-\x7e]/;

/** @returns false: a rewrite made a path that cannot be sent */
export function prepareHead(
  request: ProxyRequest,
  action: ForwardAction,
  choice: ClusterChoice,
  config: HeadRules,
): boolean {
  const { headers, bodySize } = request;
  const before = request.path;
  choice.editRequest(request);
  const rewritten = action.rewrite(request);
  if (request.method !== 'CONNECT' && notInPath.test(request.path)) return false;
  if (!config.suppressEnvoyHeaders && rewritten) headers.set('x-envoy-original-path', before);
  for (const key of notForwarded) headers.remove(key);
  if (bodySize === undefined) headers.remove('content-length');
  else if (bodySize > 0) headers.set('content-length', String(bodySize));
  else if (headers.has('content-length')) headers.set('content-length', '0');
  if (request.wantsContinue && !config.proxyContinue) headers.remove('expect');
  return true;
}

/**
 * Announces to the upstream how long this attempt may take.
 * @param endedAt monotonic milliseconds at which the request was whole; 0: it is not yet
 */
export function announceTimeout(
  request: ProxyRequest,
  config: HeadRules,
  timeouts: RequestTimeouts,
  endedAt: number,
  hedge: boolean,
): void {
  const elapsed = endedAt === 0 ? 0 : config.clock.monotonicMs() - endedAt;
  const expected = expectedTimeoutMs(timeouts, elapsed, hedge);
  if (expected === 0) return;
  if (!config.suppressEnvoyHeaders) request.headers.set('x-envoy-expected-rq-timeout-ms', String(expected));
  if (timeouts.tellGrpc) request.headers.set('grpc-timeout', formatGrpcTimeout(expected));
}

/** @param endedAt as for `announceTimeout` */
export function announceServiceTime(request: ProxyRequest, clock: Clock, head: ResponseHead, endedAt: number): void {
  const ms = clock.monotonicMs() - (endedAt === 0 ? request.startMs : endedAt);
  head.headers.set('x-envoy-upstream-service-time', String(Math.max(0, Math.round(ms))));
}
