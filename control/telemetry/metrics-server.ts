/** `/metrics` over plain HTTP on a port of its own, as istiod has it on 15014. It shows numbers, no configuration. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const MAX_CONNECTIONS = 64;
const TIMEOUT_MS = 10_000;

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * @param listen port 0: chosen by the kernel
 * @throws Error naming address and port when it cannot listen
 */
export function startMetricsServer(
  listen: { readonly address: string; readonly port: number },
  expose: () => string,
): Promise<MetricsServer> {
  const options = { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, connectionsCheckingInterval: 2000 };
  const server = createServer(options, (request, response) => {
    const [path] = (request.url ?? '').split('?', 1);
    const status = path !== '/metrics' ? 404 : request.method === 'GET' || request.method === 'HEAD' ? 200 : 405;
    const body = status === 200 ? expose() : status === 404 ? 'not found\n' : 'method not allowed\n';
    response.writeHead(status, {
      'content-type': status === 200 ? 'text/plain; version=0.0.4; charset=utf-8' : 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'x-content-type-options': 'nosniff',
      ...(status === 405 && { allow: 'GET, HEAD' }),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  server.maxConnections = MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is in use (see --monitoring-port)' : error.message;
      reject(new Error(`cannot serve metrics on ${listen.address} port ${listen.port}: ${reason}`, { cause: error }));
    });
    server.listen(listen.port, listen.address, () => {
      server.removeAllListeners('error').on('error', () => {});
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}
