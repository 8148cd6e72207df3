/** Bun: its own sockets for plaintext; node:net and node:tls, as Node has them, where TLS may come. */
import { nativeConnect, nativeListen } from './bun-sockets.ts';
import type { Runtime } from './runtime.ts';
import { socketsRuntime } from './sockets-runtime.ts';
import { implementationWriter } from './writes/implementation-writer.ts';

export function bunRuntime(): Runtime {
  const shared = socketsRuntime('bun', {
    readsAreOurs: true,
    readsByPush: true,
    // What Bun's socket does not take at once it copies.
    directWriter: (socket) => implementationWriter(socket, true),
  });
  return {
    ...shared,
    listen: (options, onConnection) =>
      options.plaintext ? nativeListen(options, onConnection) : shared.listen(options, onConnection),
    connect: (to, tls, handler, onOpen) =>
      tls ? shared.connect(to, tls, handler, onOpen) : nativeConnect(to, handler, onOpen),
  };
}
