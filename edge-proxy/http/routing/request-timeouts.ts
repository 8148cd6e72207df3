/**
 * How long a request may take: the route's timeout, what an internal client asks by x-envoy-upstream-rq-timeout-ms, and
 * gRPC's `grpc-timeout` (Envoy's FilterUtility::finalTimeout; envoyproxy.io: router filter, "HTTP headers (consumed)").
 */
import { parseGrpcTimeout } from '../grpc/timeout.ts';
import type { HeaderMap } from '../message/header-map.ts';

/** What takes too long: the attempt as a whole, one in which nothing moves, the cluster's longest stream. */
export type AttemptTimeout = 'attempt' | 'idle' | 'duration';

/** All in milliseconds; 0: none. */
export interface RequestTimeouts {
  /** From the end of the request to the end of the response. */
  totalMs: number;
  /** From a connection being there to the response head, per attempt. */
  perAttemptMs: number;
  /** Of an attempt in which nothing moves. */
  perAttemptIdleMs: number;
  /** `grpc-timeout` upstream is what is left. */
  tellGrpc: boolean;
}

export interface GrpcTimeoutRule {
  /** 0: whatever the client asks. */
  readonly maxMs: number;
  /** Taken off what the client asks. */
  readonly offsetMs: number;
}

/** Longest life of a stream, from its head (RouteAction.maxStreamDuration), in milliseconds. */
export interface StreamDuration {
  /** 0: no limit; undefined: the listener's. */
  readonly maxMs: number | undefined;
  /** grpcTimeoutHeaderMax: instead, clients may ask for a time by `grpc-timeout`; undefined: they may not. */
  readonly grpc: GrpcTimeoutRule | undefined;
}

/** What a route says of time, in milliseconds; 0: none. */
export interface RouteTimeouts {
  readonly timeoutMs: number;
  readonly perAttemptMs: number;
  readonly perAttemptIdleMs: number;
  /** maxGrpcTimeout: gRPC clients may ask for a timeout; undefined: they get the route's. */
  readonly grpc: GrpcTimeoutRule | undefined;
}

/** By route, made at its first request. */
const defaults = new WeakMap<RouteTimeouts, Readonly<RequestTimeouts>>();

/** As `requestTimeouts`; requests that ask for nothing of their own share one answer a route. */
export function timeoutsOf(
  route: RouteTimeouts,
  headers: HeaderMap,
  grpc: boolean,
  internal: boolean,
): Readonly<RequestTimeouts> {
  if (internal || (grpc && route.grpc)) return requestTimeouts(route, headers, grpc, internal);
  let known = defaults.get(route);
  if (!known) defaults.set(route, (known = routeDefaults(route)));
  return known;
}

function routeDefaults({ timeoutMs, perAttemptMs, perAttemptIdleMs }: RouteTimeouts): Readonly<RequestTimeouts> {
  return {
    totalMs: timeoutMs,
    perAttemptMs: timeoutMs !== 0 && perAttemptMs >= timeoutMs ? 0 : perAttemptMs,
    perAttemptIdleMs,
    tellGrpc: false,
  };
}

/** @param internal the client's own control headers count */
export function requestTimeouts(
  route: RouteTimeouts,
  headers: HeaderMap,
  grpc: boolean,
  internal: boolean,
): RequestTimeouts {
  const byClient = grpc ? route.grpc : undefined;
  const out: RequestTimeouts = {
    totalMs: byClient ? grpcTimeout(byClient, headers) : route.timeoutMs,
    perAttemptMs: route.perAttemptMs,
    perAttemptIdleMs: route.perAttemptIdleMs,
    tellGrpc: byClient !== undefined && byClient.maxMs !== 0,
  };
  if (internal) {
    out.totalMs = take(headers, 'x-envoy-upstream-rq-timeout-ms') ?? out.totalMs;
    out.perAttemptMs = take(headers, 'x-envoy-upstream-rq-per-try-timeout-ms') ?? out.perAttemptMs;
  }
  if (out.totalMs !== 0 && out.perAttemptMs >= out.totalMs) out.perAttemptMs = 0;
  return out;
}

function take(headers: HeaderMap, key: string): number | undefined {
  const value = headers.get(key);
  if (value === undefined) return undefined;
  headers.remove(key);
  return /^\d{1,12}$/.test(value) ? Number(value) : undefined;
}

/** What a gRPC client asks, within the rule. */
function grpcTimeout({ maxMs, offsetMs }: GrpcTimeoutRule, headers: HeaderMap): number {
  let asked = parseGrpcTimeout(headers.get('grpc-timeout')) ?? 0;
  // Skip the offset if it would make the timeout 0, which means unlimited.
  if (offsetMs < asked) asked -= offsetMs;
  return maxMs !== 0 && (asked === 0 || asked > maxMs) ? maxMs : asked;
}

/**
 * What the upstream may expect to have for this attempt.
 * @param elapsedMs since the request was whole
 * @returns 0: no limit
 */
export function expectedTimeoutMs(timeouts: RequestTimeouts, elapsedMs: number, hedge: boolean): number {
  const { totalMs, perAttemptMs } = timeouts;
  const wanted = hedge || perAttemptMs === 0 ? totalMs : perAttemptMs;
  if (wanted === 0 || totalMs === 0) return wanted;
  return elapsedMs >= totalMs ? 1 : Math.min(wanted, Math.ceil(totalMs - elapsedMs));
}

/**
 * The longest that a stream may live, in milliseconds from its start (Envoy's refreshDurationTimeout): `grpc-timeout`, within
 * the rule, where the route has one, else what the route says.
 * @returns Infinity: no limit; undefined: as the listener says
 */
export function streamDurationMs({ maxMs, grpc: rule }: StreamDuration, headers: HeaderMap): number | undefined {
  const asked = rule && parseGrpcTimeout(headers.get('grpc-timeout'));
  if (rule === undefined || asked === undefined) return maxMs === 0 ? Number.POSITIVE_INFINITY : maxMs;
  const capped = rule.maxMs !== 0 && asked > rule.maxMs ? rule.maxMs : asked;
  return Math.max(0, capped - rule.offsetMs);
}
