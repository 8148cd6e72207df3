/** The times of a RouteAction: timeout, per try, gRPC's, the longest life of a stream. */
import { durationMs } from '../../../shared/xds/message.ts';
import type { RetryPolicy, RouteAction } from '../../../shared/xds/route.ts';
import type { GrpcTimeoutRule, RouteTimeouts, StreamDuration } from '../../http/routing/request-timeouts.ts';

const DEFAULT_TIMEOUT_MS = 15_000;

export interface CompiledTimes extends RouteTimeouts {
  readonly idleTimeoutMs: number | undefined;
  readonly streamDuration: StreamDuration | undefined;
}

/** @param policy the retry policy in force, whose times hold even where nothing is retried */
export function compileTimes(action: RouteAction, policy: RetryPolicy | undefined): CompiledTimes {
  const streamDuration = compileStreamDuration(action.maxStreamDuration);
  return {
    // With maxStreamDuration the older timeouts hold no more.
    timeoutMs: streamDuration ? 0 : optional(action.timeout, DEFAULT_TIMEOUT_MS),
    idleTimeoutMs: action.idleTimeout === undefined ? undefined : durationMs(action.idleTimeout),
    perAttemptMs: optional(policy?.perTryTimeout, 0),
    perAttemptIdleMs: optional(policy?.perTryIdleTimeout, 0),
    grpc:
      streamDuration || action.maxGrpcTimeout === undefined
        ? undefined
        : rule(action.maxGrpcTimeout, action.grpcTimeoutOffset),
    streamDuration,
  };
}

function compileStreamDuration(given: RouteAction['maxStreamDuration']): StreamDuration | undefined {
  if (!given) return undefined;
  const { maxStreamDuration, grpcTimeoutHeaderMax, grpcTimeoutHeaderOffset } = given;
  return {
    maxMs: maxStreamDuration === undefined ? undefined : durationMs(maxStreamDuration),
    grpc: grpcTimeoutHeaderMax === undefined ? undefined : rule(grpcTimeoutHeaderMax, grpcTimeoutHeaderOffset),
  };
}

function rule(max: string, offset: string | undefined): GrpcTimeoutRule {
  return { maxMs: durationMs(max), offsetMs: optional(offset, 0) };
}

function optional(duration: string | undefined, otherwise: number): number {
  return duration === undefined ? otherwise : durationMs(duration);
}
