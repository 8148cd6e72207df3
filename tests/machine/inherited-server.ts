/**
 * A server on the listening sockets that it inherits: it answers each connection with one line of JSON, and closes. In
 * tests it takes the place of the proxy. Runs on Node, Bun and Deno.
 */
import { createServer } from 'node:net';
import process from 'node:process';
import { LISTEN_VARIABLE } from '../../shared/join/capture-ports.ts';

export interface Accepted {
  /** Of the inherited socket. */
  readonly socket: string;
  readonly local: string;
  readonly remote: string;
}

for (const word of (process.env[LISTEN_VARIABLE] ?? '').split(',').filter(Boolean)) {
  const [socket = '', fd = ''] = word.split('=');
  const server = createServer((connection) => {
    const local = `${connection.localAddress} ${connection.localPort}`;
    connection.on('error', () => {});
    connection.end(
      `${JSON.stringify({ socket, local, remote: String(connection.remoteAddress) } satisfies Accepted)}\n`,
    );
  });
  server.listen({ fd: Number(fd) }, () => process.stdout.write(`serves ${socket}\n`));
}
process.stdout.write(`uid ${process.getuid?.()} ${process.env[LISTEN_VARIABLE]}\n`);
