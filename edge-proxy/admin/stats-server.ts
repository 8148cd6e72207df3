/** Serves a proxy's metrics to Prometheus, and nothing else of the admin server. */
import type { Listening, Runtime } from '../runtime/runtime.ts';
import type { Admin } from './admin.ts';
import { serveAdmin } from './server.ts';

const PATHS = new Set(['/stats/prometheus', '/metrics']);

/** @throws ListenError when the address cannot be bound */
export function serveStats(
  runtime: Runtime,
  { address, port }: { readonly address: string; readonly port: number },
  admin: Admin,
): Promise<Listening> {
  return serveAdmin(runtime, address, port, async (request) =>
    request.method === 'GET' && PATHS.has(new URL(request.url).pathname)
      ? admin(request)
      : new Response('only GET /stats/prometheus and /metrics are served here\n', { status: 404 }),
  );
}
