/** Bun: its own sockets for plaintext; node:net and node:tls, as Node has them, where TLS may come. */

import { isUnixAddress } from '../../shared/match/unix-address.ts';
import { nativeConnect, nativeListen } from './bun-sockets.ts';
import { SocketConnection } from './connection.ts';
import { LoopbackPairs } from './pair/loopback-pair.ts';
import type { Runtime } from './runtime.ts';
import { onHanded, socketsRuntime } from './sockets-runtime.ts';
import { nativeWriter } from './writes/native-writer.ts';

export function bunRuntime(): Runtime {
  const shared = socketsRuntime('bun', {
    readsAreOurs: true,
    readsByPush: true,
    directWriter: nativeWriter,
  });
  const pairs = new LoopbackPairs(shared);
  return {
    ...shared,
    async acceptTls(connection, context, firstBytes, giveUp) {
      if (connection instanceof SocketConnection) return shared.acceptTls(connection, context, firstBytes, giveUp);
      const { remoteAddress, remotePort, localAddress, localPort } = connection;
      const end = await pairs.join(connection, firstBytes);
      const secure = await shared.acceptTls(end.connection, context, end.firstBytes, giveUp);
      (secure as SocketConnection).takeEnds({ remoteAddress, remotePort, localAddress, localPort });
      return secure;
    },
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
