/** Servers that are upstreams of proxies under test. */
import type http from 'node:http';
import type net from 'node:net';

/**
 * Options of an HTTP upstream that never ends an idle connection: Node's 5 s would at times meet a request that was already
 * on its way, which no proxy may send again.
 */
export const UPSTREAM = { keepAliveTimeout: 0 } as const;

/** Starts a server on 127.0.0.1. @returns the port that the kernel chose */
export function listening(server: net.Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port));
  });
}

/** Stops servers; open HTTP connections are closed. */
export function closeServers(...servers: readonly (net.Server | undefined)[]): void {
  for (const server of servers) {
    server?.close();
    (server as http.Server | undefined)?.closeAllConnections?.();
  }
}
