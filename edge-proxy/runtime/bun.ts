/** Bun: its own sockets for plaintext; node:net and node:tls, as Node has them, where TLS may come. */

import { isUnixAddress } from '../../shared/match/unix-address.ts';
import { nativeConnect, nativeListen } from './bun-sockets.ts';
import type { Runtime } from './runtime.ts';
import { onHanded, socketsRuntime } from './sockets-runtime.ts';
import { nativeWriter } from './writes/native-writer.ts';

export function bunRuntime(): Runtime {
  const shared = socketsRuntime('bun', {
    readsAreOurs: true,
    readsByPush: true,
    directWriter: nativeWriter,
  });
  return {
    ...shared,
    listen(given, onConnection) {
      const options = onHanded(given);
      return options.plaintext && !isUnixAddress(options.address)
        ? nativeListen(options, onConnection)
        : shared.listen(options, onConnection);
    },
    connect: (to, tls, handler, onOpen) =>
      tls || isUnixAddress(to.address) ? shared.connect(to, tls, handler, onOpen) : nativeConnect(to, handler, onOpen),
  };
}
