/** Whether a connection takes another request after this one (RFC 9112 section 9.3), by what its client and config say. */
import type { RequestHead } from '../codec/h1/head.ts';
import type { ManagerParts } from './manager-config.ts';

/** Pipelined bytes that may wait while a request is answered; the runtime may deliver some after a pause. */
export const maxStash = 1024 * 1024;

/** @param served requests so far, this one included @param openedAt monotonic milliseconds */
export function endsConnection(head: RequestHead, parts: ManagerParts, served: number, openedAt: number): boolean {
  const { maxRequestsPerConnection } = parts;
  const maxConnectionMs = parts.overload.timers?.connectionMax(parts.maxConnectionMs) ?? parts.maxConnectionMs;
  return (
    !head.keepAlive ||
    parts.draining() ||
    (maxRequestsPerConnection > 0 && served >= maxRequestsPerConnection) ||
    (maxConnectionMs > 0 && parts.runtime.monotonicMs() - openedAt >= maxConnectionMs)
  );
}

/** How long a connection may wait for its next request, now. */
export function connectionIdleMs({ overload, idleMs }: ManagerParts): number {
  return overload.timers ? overload.timers.connectionIdle(idleMs) : idleMs;
}

/** How long nothing may move in a request, now. @param ms as its route has it */
export function streamIdleMs({ overload }: ManagerParts, ms: number): number {
  return overload.timers ? overload.timers.streamIdle(ms) : ms;
}
