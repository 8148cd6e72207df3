/** Serves a proxy's metrics to Prometheus, and nothing else of the admin server. */
import type { Listening, Runtime } from '../runtime/runtime.ts';
import type { Admin } from './admin.ts';
import { serveAdmin } from './server.ts';

const PATHS = new Set(['/stats/prometheus', '/metrics']);

/**
 * @param compression metrics are compressed for clients that accept it
 * @throws ListenError when the address cannot be bound
 */
export function serveStats(
  runtime: Runtime,
  { address, port }: { readonly address: string; readonly port: number },
  admin: Admin,
  compression: boolean,
): Promise<Listening> {
  const metrics: Admin = async (request) =>
    request.method === 'GET' && PATHS.has(new URL(request.url).pathname)
      ? admin(request)
      : new Response('only GET /stats/prometheus and /metrics are served here\n', { status: 404 });
  return serveAdmin(runtime, address, port, metrics, compression);
}
