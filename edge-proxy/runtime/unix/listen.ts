/** Listening on a Unix domain socket. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import net from 'node:net';

/**
 * Listens; a socket file whose owner is gone is replaced, a file that is no socket and one that is in use are not.
 * @param mode permissions of the file; undefined: by the umask of the process
 */
export async function listenUnix(server: net.Server, path: string, backlog: number, mode?: number): Promise<void> {
  try {
    await listenOnce(server, path, backlog);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isAbandoned(path))) throw error;
    unlinkSync(path);
    await listenOnce(server, path, backlog);
  }
  if (mode !== undefined && !isAbstract(path)) chmodSync(path, mode);
}

const isAbstract = (path: string): boolean => path.startsWith('\0');

function listenOnce(server: net.Server, path: string, backlog: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path, backlog }, () => {
    server.off('error', reject);
    resolve();
  });
  return promise;
}

/** Whether the path is a socket that refuses connections. */
function isAbandoned(path: string): Promise<boolean> {
  if (isAbstract(path) || lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true)
    return Promise.resolve(false);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect({ path });
  socket.once('connect', () => resolve(false));
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  return promise.finally(() => socket.destroy());
}
