/** Listening on a Unix domain socket. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import net from 'node:net';
import process from 'node:process';

/**
 * Listens; a socket file whose owner is gone is replaced, a file that is no socket and one that is in use are not.
 * @param mode permissions of the file; undefined: by the umask of the process
 */
export async function listenUnix(server: net.Server, path: string, backlog: number, mode?: number): Promise<void> {
  const listenOnce = () => listenAt(server, path, backlog, mode !== undefined && !isAbstract(path));
  try {
    await listenOnce();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isAbandoned(path))) throw error;
    unlinkSync(path);
    await listenOnce();
  }
  if (mode !== undefined && !isAbstract(path)) chmodSync(path, mode);
}

const isAbstract = (path: string): boolean => path.startsWith('\0');

/**
 * @param isPrivate the file is made for its owner alone: until its permissions are set no one else can connect. Node, Bun and
 * Deno bind within the call, so that the umask of the process is changed for its time only.
 */
function listenAt(server: net.Server, path: string, backlog: number, isPrivate: boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  const umask = isPrivate ? process.umask(0o177) : undefined;
  try {
    server.listen({ path, backlog }, () => {
      server.off('error', reject);
      resolve();
    });
  } finally {
    if (umask !== undefined) process.umask(umask);
  }
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
