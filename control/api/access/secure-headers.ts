/** Headers by which browsers make nothing else of answers than data. */
import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from '../caller.ts';

/**
 * Answers are kept by no cache and shown in no frame. Without Strict-Transport-Security, which would be in force for every port
 * of the host. Not for discovery (`/v3`, and by gRPC), whose clients are proxies.
 */
export const secureHeaders: MiddlewareHandler<ApiEnv> = async function secureHeaders(c, next) {
  await next();
  if (c.req.path.startsWith('/v3/') || c.req.path.startsWith('/envoy.service.')) return;
  const { headers } = c.res;
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-cache, private');
  headers.set('x-content-type-options', 'nosniff');
  headers.set('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  headers.set('referrer-policy', 'no-referrer');
};
