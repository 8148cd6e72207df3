/** A Runtime from the shared node:* parts and one runtime's quirks. */
import type { Quirks } from './connection.ts';
import { files, processControl, resolve } from './host.ts';
import type { Runtime } from './runtime.ts';
import { acceptTls, connect, listen } from './sockets.ts';
import { clientContext, serverContext } from './tls-context.ts';

export function socketsRuntime(name: Runtime['name'], quirks: Quirks): Runtime {
  return {
    name,
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    listen: (options, onConnection) => listen(options, quirks, onConnection),
    connect: (to, tls, handler, onOpen) => connect(to, tls, quirks, handler, onOpen),
    serverTls: serverContext,
    clientTls: clientContext,
    acceptTls: (connection, context, firstBytes) => acceptTls(connection, context, firstBytes, quirks),
    resolve,
    files,
    process: processControl,
  };
}
