/**
 * How long a request may take: the route's timeout, what an internal client asks by x-envoy-upstream-rq-timeout-ms, and
 * gRPC's `grpc-timeout` (Envoy's FilterUtility::finalTimeout; envoyproxy.io: router filter, "HTTP headers (consumed)").
 */
import type { HeaderMap } from '../message/header-map.ts';

/** What takes too long: the attempt as a whole, one in which nothing moves, the cluster's longest stream. */
export type AttemptTimeout = 'attempt' | 'idle' | 'duration';

/** All in milliseconds; 0: none. */
export interface RequestTimeouts {
  /** From the end of the request to the end of the response. */
  totalMs: number;
  /** From a connection being there to the response head, per attempt. */
  perTryMs: number;
  /** Of an attempt in which nothing moves. */
  perTryIdleMs: number;
  /** `grpc-timeout` upstream is what is left. */
  tellGrpc: boolean;
}

export interface GrpcTimeoutRule {
  /** 0: whatever the client asks. */
  readonly maxMs: number;
  /** Taken off what the client asks. */
  readonly offsetMs: number;
}

/** Longest life of a stream, from its head (RouteAction.maxStreamDuration), in milliseconds; 0: none. */
export interface StreamDuration {
  readonly maxMs: number;
  /** grpcTimeoutHeaderMax: gRPC clients may ask for less; undefined: they may not. */
  readonly grpc: GrpcTimeoutRule | undefined;
}

/** What a route says of time, in milliseconds; 0: none. */
export interface RouteTimeouts {
  readonly timeoutMs: number;
  readonly perTryMs: number;
  readonly perTryIdleMs: number;
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

function routeDefaults({ timeoutMs, perTryMs, perTryIdleMs }: RouteTimeouts): Readonly<RequestTimeouts> {
  return {
    totalMs: timeoutMs,
    perTryMs: timeoutMs !== 0 && perTryMs >= timeoutMs ? 0 : perTryMs,
    perTryIdleMs,
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
    perTryMs: route.perTryMs,
    perTryIdleMs: route.perTryIdleMs,
    tellGrpc: byClient !== undefined && byClient.maxMs !== 0,
  };
  if (internal) {
    out.totalMs = take(headers, 'x-envoy-upstream-rq-timeout-ms') ?? out.totalMs;
    out.perTryMs = take(headers, 'x-envoy-upstream-rq-per-try-timeout-ms') ?? out.perTryMs;
  }
  if (out.totalMs !== 0 && out.perTryMs >= out.totalMs) out.perTryMs = 0;
  return out;
}

function take(headers: HeaderMap, key: string): number | undefined {
  const value = headers.get(key);
  if (value === undefined) return undefined;
  headers.remove(key);
  return /^\d{1,12}$/.test(value) ? Number(value) : undefined;
}

/** What a gRPC client asks, within the rule. */
export function grpcTimeout({ maxMs, offsetMs }: GrpcTimeoutRule, headers: HeaderMap): number {
  let asked = parseGrpcTimeout(headers.get('grpc-timeout')) ?? 0;
  // Skip the offset if it would make the timeout 0, which means unlimited.
  if (offsetMs < asked) asked -= offsetMs;
  return maxMs !== 0 && (asked === 0 || asked > maxMs) ? maxMs : asked;
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds, rounded up (gRPC over HTTP/2: at most 8 digits and a unit); undefined where it is none. */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,8}[HMSmun]$/.test(value)) return undefined;
  return Math.ceil(Number(value.slice(0, -1)) * UNIT_MS[value[value.length - 1]!]!);
}

/** In the finest unit whose number has at most 8 digits. */
export function formatGrpcTimeout(ms: number): string {
  for (const [unit, size] of [
    ['m', 1],
    ['S', 1000],
    ['M', 60_000],
  ] as const)
    if (ms / size < 1e8) return `${Math.floor(ms / size)}${unit}`;
  return `${Math.min(Math.floor(ms / 3_600_000), 99_999_999)}H`;
}

/**
 * What the upstream may expect to have for this attempt.
 * @param elapsedMs since the request was whole
 * @returns 0: no limit
 */
export function expectedTimeoutMs(timeouts: RequestTimeouts, elapsedMs: number, hedge: boolean): number {
  const { totalMs, perTryMs } = timeouts;
  const wanted = hedge || perTryMs === 0 ? totalMs : perTryMs;
  if (wanted === 0 || totalMs === 0) return wanted;
  return elapsedMs >= totalMs ? 1 : Math.min(wanted, Math.ceil(totalMs - elapsedMs));
}

/** The longest the stream may live, in milliseconds; a gRPC client may ask for less where the rule says so. 0: no limit. */
export function streamDurationMs({ maxMs, grpc: rule }: StreamDuration, headers: HeaderMap, grpc: boolean): number {
  return grpc && rule && headers.has('grpc-timeout') ? grpcTimeout(rule, headers) : maxMs;
}
