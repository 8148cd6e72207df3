import net from 'node:net';
import { listening } from './upstream.ts';

export { freePorts } from '../../deploy/local/ports.ts';

/** A port of 127.0.0.1 that refuses connections: it was bound and is closed again. */
export async function closedPort(): Promise<number> {
  const server = net.createServer();
  const port = await listening(server);
  await new Promise((closed) => server.close(closed));
  return port;
}
