/** Where health checks connect to. */
import type { DialTarget, TlsContext } from '../../runtime/runtime.ts';
import type { TlsPurpose } from '../cluster.ts';
import type { Host } from '../host.ts';

/** A dial ends with its check, whose time the health checker limits. */
export const NO_TIMEOUT = 0;

/** Where a host is asked, and how. A context without its secrets refuses to dial: nothing is asked in plaintext. */
export function dialTarget(
  { address, port, healthCheck, tls, preface }: Host,
  purpose: TlsPurpose,
): {
  to: DialTarget;
  tls: TlsContext | undefined;
} {
  return { to: { address, port: healthCheck.port || port, preface }, tls: (healthCheck.tls ?? tls)(purpose) };
}
