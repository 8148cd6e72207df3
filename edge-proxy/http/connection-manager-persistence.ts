/** Whether a connection takes another request after this one (RFC 9112 section 9.3), by what its client and config say. */
import type { RequestHead } from './codec/message.ts';
import type { ManagerParts } from './connection-manager-parts.ts';

/** @param served requests so far, this one included @param openedAt monotonic milliseconds */
export function endsConnection(head: RequestHead, parts: ManagerParts, served: number, openedAt: number): boolean {
  const { maxRequestsPerConnection, maxConnectionMs } = parts;
  return (
    !head.keepAlive ||
    parts.draining() ||
    (maxRequestsPerConnection > 0 && served >= maxRequestsPerConnection) ||
    (maxConnectionMs > 0 && parts.runtime.monotonicMs() - openedAt >= maxConnectionMs)
  );
}
