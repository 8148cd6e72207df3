/** A Runtime from the shared node:* parts and one runtime's quirks. */
import type { Quirks } from './connection.ts';
import { files, localAddresses, processControl, resolve } from './host.ts';
import { LoopbackPairs } from './pair/loopback-pair.ts';
import { takeHanded } from './process/handed-sockets.ts';
import type { ClientTlsOptions, DialTarget, ListenOptions, Runtime } from './runtime.ts';
import { acceptTls, connect, listen } from './sockets.ts';
import { RevokedPeers } from './tls/revoked-peers.ts';
import { clientContext, serverContext } from './tls/tls-context.ts';
import { openDatagrams } from './udp/datagrams.ts';

/** A choice that would be passed over in silence is refused. @throws Error naming the field */
function refuseFixed(
  options: Pick<ClientTlsOptions, 'cipherSuites' | 'curves' | 'signatureAlgorithms'>,
  quirks: Quirks,
): void {
  if (quirks.fixedCiphers === undefined) return;
  if (options.cipherSuites?.length) throw new Error(`TLS: cipherSuites cannot be set: ${quirks.fixedCiphers}`);
  if (options.signatureAlgorithms?.length)
    throw new Error(`TLS: signatureAlgorithms cannot be set: ${quirks.fixedCiphers}`);
  if (options.curves?.length) throw new Error(`TLS: ecdhCurves cannot be set: ${quirks.fixedCiphers}`);
}

/** On the socket that the process before this one hands over, where it has one at this address. */
export function onHanded(options: ListenOptions): ListenOptions {
  if (options.descriptor !== undefined || options.port === 0) return options;
  const descriptor = takeHanded('tcp', options.address, options.port);
  return descriptor === undefined ? options : { ...options, descriptor };
}

export function socketsRuntime(name: Runtime['name'], quirks: Quirks): Runtime {
  const revoked = new RevokedPeers();
  const host = { quirks, revoked };
  const pairs = new LoopbackPairs({
    listen: (options, onConnection) => listen(options, quirks, onConnection),
    connect: (to, tls, handler, onOpen) => connect(to, tls, host, handler, onOpen),
  });
  return {
    name,
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    random: () => Math.random(),
    listen: (options, onConnection) => listen(onHanded(options), quirks, onConnection),
    openDatagrams,
    connect: (to, tls, handler, onOpen) => connect(to, tls, host, handler, onOpen),
    connectOver(connection, tls, handler, onOpen) {
      const dial = (to: DialTarget) => void connect(to, tls, host, handler, onOpen);
      pairs.lead(connection, dial, (error) => handler.onClose(error));
    },
    serverTls(options) {
      refuseFixed(options, quirks);
      return serverContext(options);
    },
    clientTls(options) {
      refuseFixed(options, quirks);
      return clientContext(options);
    },
    acceptTls: (connection, context, firstBytes, giveUp) => acceptTls(connection, context, firstBytes, host, giveUp),
    revokePeers: (serials) => revoked.set(serials),
    resolve,
    localAddresses,
    files,
    process: processControl,
  };
}
