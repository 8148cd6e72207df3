/** The socket half of Runtime on node:net and node:tls, shared by Node, Bun and Deno; what differs is in `Quirks`. */
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { socketPath } from '../../shared/match/unix-address.ts';
import { plainAddress, type Quirks, SocketConnection } from './connection.ts';
import { ConnectionStream } from './connection-stream.ts';
import { ListenError } from './listen-error.ts';
import type {
  Connection,
  ConnectionEnds,
  ConnectionHandler,
  DialTarget,
  Listening,
  ListenOptions,
  TlsContext,
} from './runtime.ts';
import type { RevokedPeers } from './tls/revoked-peers.ts';
import { type ClientContext, connectionKey, judgePeer, type ServerContext } from './tls/tls-context.ts';
import { listenUnix } from './unix/listen.ts';

/** What the connections of one runtime share. */
export interface SocketHost {
  readonly quirks: Quirks;
  readonly revoked: RevokedPeers;
}

const HANDSHAKE_TIMEOUT_MS = 15_000;
const DEFAULT_BACKLOG = 1024;

/** @throws ListenError in one line: address, port, reason */
export function listen(
  options: ListenOptions,
  quirks: Quirks,
  onConnection: (connection: Connection) => void,
): Promise<Listening> {
  const path = socketPath(options.address);
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    // A client may be gone before it is accepted; it then has no address. Those of a Unix domain socket have none.
    if (path === undefined && socket.remoteAddress === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    onConnection(new SocketConnection(socket, quirks, undefined, undefined, options.plaintext !== true));
  });
  if (path !== undefined) return listenOnPath(server, path, options);
  const { promise, resolve, reject } = Promise.withResolvers<Listening>();
  const refuse = (error: NodeJS.ErrnoException) => reject(new ListenError(options.address, options.port, error));
  server.once('error', refuse);
  server.listen(
    {
      ...(options.descriptor === undefined
        ? { host: options.address, port: options.port }
        : { fd: options.descriptor }),
      backlog: options.backlog ?? DEFAULT_BACKLOG,
      ...(options.reusePort ? { reusePort: true } : {}),
    },
    () => {
      server.off('error', refuse);
      // Later errors are of accept (EMFILE …): the listener continues.
      server.on('error', () => {});
      const address = server.address() as net.AddressInfo | null;
      if (options.descriptor !== undefined && address?.port !== options.port) {
        server.close();
        const at = address ? `listens at port ${address.port}` : 'is no listening socket';
        return refuse(new Error(`descriptor ${options.descriptor} ${at}`));
      }
      resolve({ address: address!.address, port: address!.port, close: () => closeServer(server) });
    },
  );
  return promise;
}

async function listenOnPath(server: net.Server, path: string, options: ListenOptions): Promise<Listening> {
  const { address, backlog = DEFAULT_BACKLOG, mode } = options;
  try {
    await listenUnix(server, path, backlog, mode);
  } catch (error) {
    throw new ListenError(address, 0, error as NodeJS.ErrnoException);
  }
  server.on('error', () => {});
  return { address, port: 0, close: () => closeServer(server) };
}

/** `net.Server.close` waits for connections; ours stay open, so it is not awaited. */
function closeServer(server: net.Server): Promise<void> {
  server.close();
  return Promise.resolve();
}

/** Dials; see Runtime.connect. */
export function connect(
  to: DialTarget,
  context: TlsContext | undefined,
  { quirks, revoked }: SocketHost,
  handler: ConnectionHandler,
  onOpen: (connection: Connection) => void,
): Connection {
  if (context?.unready !== undefined) return refuse(context.unready, quirks, handler);
  const path = socketPath(to.address);
  const target =
    path === undefined
      ? {
          host: to.address,
          port: to.port,
          allowHalfOpen: true,
          ...(to.localAddress ? { localAddress: to.localAddress } : {}),
        }
      : { path, allowHalfOpen: true };
  const client = context as ClientContext | undefined;
  // A preface goes ahead of the handshake: TLS then runs over a socket that exists before.
  const below = client && to.preface ? net.connect({ ...target, noDelay: true }) : undefined;
  below?.once('connect', () => below.write(to.preface!(endsOf(below))));
  const socket = client
    ? tls.connect({
        ...(below ? { socket: below } : target),
        secureContext: client.secureContext,
        rejectUnauthorized: false,
        // Judged by verifyPeer after the handshake, before a byte is written.
        checkServerIdentity: () => undefined,
        ...(client.serverName && net.isIP(client.serverName) === 0 ? { servername: client.serverName } : {}),
        ...(client.alpn ? { ALPNProtocols: client.alpn } : {}),
      })
    : net.connect({ ...target, noDelay: true });
  const connection = new SocketConnection(socket, quirks, undefined, undefined);
  connection.dialling = true;
  connection.handler = handler;
  below?.on('error', (error) => connection.destroy(error));
  let timer: ReturnType<typeof setTimeout> | undefined;
  if (client) {
    socket.setNoDelay(true);
    timer = setTimeout(() => connection.destroy(new Error('TLS: handshake timed out')), HANDSHAKE_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(timer));
  }
  socket.once(client ? 'secureConnect' : 'connect', () => {
    clearTimeout(timer);
    if (to.keepAliveMs !== undefined) socket.setKeepAlive(true, to.keepAliveMs);
    try {
      connection.opened(client && judgePeer(socket as tls.TLSSocket, client, revoked));
      watch(connection, socket, revoked);
      if (below) connection.takeEnds(endsOf(below));
      else if (to.preface) connection.write(to.preface(connection));
      onOpen(connection);
    } catch (error) {
      connection.guard(error);
    }
  });
  return connection;
}

function endsOf(socket: net.Socket): ConnectionEnds {
  return {
    remoteAddress: plainAddress(socket.remoteAddress),
    remotePort: socket.remotePort ?? 0,
    localAddress: plainAddress(socket.localAddress),
    localPort: socket.localPort ?? 0,
  };
}

/** A dial that fails before a packet is sent. */
function refuse(reason: string, quirks: Quirks, handler: ConnectionHandler): Connection {
  const connection = new SocketConnection(new net.Socket(), quirks, undefined, undefined);
  connection.dialling = true;
  connection.handler = handler;
  queueMicrotask(() => connection.destroy(new Error(reason)));
  return connection;
}

function watch(connection: Connection, socket: net.Socket, revoked: RevokedPeers): void {
  const forget = revoked.watch(connection);
  if (forget) socket.once('close', forget);
}

/** @returns stop: the handshake is over */
function handshakeLimit(giveUp: AbortSignal | undefined, expired: (error: Error) => void): () => void {
  const expire = () => expired(new Error('TLS: handshake timed out'));
  if (!giveUp) {
    const timer = setTimeout(expire, HANDSHAKE_TIMEOUT_MS);
    return () => clearTimeout(timer);
  }
  giveUp.addEventListener('abort', expire, { once: true });
  return () => giveUp.removeEventListener('abort', expire);
}

/** See Runtime.acceptTls. */
export function acceptTls(
  connection: Connection,
  context: TlsContext,
  firstBytes: Uint8Array,
  host: SocketHost,
  giveUp?: AbortSignal,
): Promise<Connection> {
  const { quirks, revoked } = host;
  const server = context as ServerContext;
  const named = connection.remoteAddress !== '';
  if (!(connection instanceof SocketConnection) || !named || (connection.direct && quirks.directForGood))
    return acceptTlsOver(connection, server, firstBytes, host, giveUp);
  const below = connection;
  const raw = below.release();
  const key = connectionKey(raw);
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  const finish = (error: Error | undefined) => {
    stopWaiting();
    server.waiting.delete(key);
    const failure = server.failures.get(key);
    server.failures.delete(key);
    raw.off('close', gone);
    if (!error) return;
    raw.destroy();
    reject(failure ?? error);
  };
  const gone = () => finish(new Error('TLS: connection closed during the handshake'));
  const stopWaiting = handshakeLimit(giveUp, finish);
  raw.once('close', gone);
  if (raw.destroyed) {
    gone();
    return promise;
  }
  server.waiting.set(key, (socket) => {
    try {
      const info = judgePeer(socket, server, revoked);
      finish(undefined);
      const made = new SocketConnection(socket, quirks, info, below);
      watch(made, socket, revoked);
      resolve(made);
    } catch (error) {
      socket.on('error', () => {});
      socket.destroy();
      finish(error instanceof Error ? error : new Error(String(error)));
    }
  });
  raw.unshift(firstBytes);
  server.server.emit('connection', raw);
  return promise;
}

/**
 * TLS over a connection that is no net.Socket: it was accepted in plaintext by a listener that has TLS by now. A server
 * of its own tells whose handshake has finished.
 */
function acceptTlsOver(
  connection: Connection,
  context: ServerContext,
  firstBytes: Uint8Array,
  { quirks, revoked }: SocketHost,
  giveUp: AbortSignal | undefined,
): Promise<Connection> {
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  const stream = streamOf(connection, firstBytes, quirks);
  const refuse = (error: Error) => {
    stopWaiting();
    stream.destroy();
    reject(error);
  };
  const stopWaiting = handshakeLimit(giveUp, refuse);
  stream.on('error', () => {});
  stream.once('close', () => refuse(new Error('TLS: connection closed during the handshake')));
  const server = context.another();
  server.once('tlsClientError', refuse);
  server.once('secureConnection', (socket) => {
    socket.on('error', () => {});
    try {
      const made = new SocketConnection(socket, overStream(quirks), judgePeer(socket, context, revoked), undefined);
      watch(made, socket, revoked);
      made.takeEnds(connection);
      stopWaiting();
      resolve(made);
    } catch (error) {
      refuse(error instanceof Error ? error : new Error(String(error)));
    }
  });
  server.emit('connection', stream);
  return promise;
}

/** The socket itself, where it can be given away. */
function streamOf(connection: Connection, firstBytes: Uint8Array, quirks: Quirks): Duplex {
  if (!(connection instanceof SocketConnection) || (connection.direct && quirks.directForGood))
    return new ConnectionStream(connection, firstBytes);
  const raw = connection.release();
  raw.unshift(firstBytes);
  return raw;
}

/** Below such a TLS socket is no handle of the kernel's: it is read and written as a stream. */
function overStream({ fixedCiphers, onTlsBytes, holdRaw }: Quirks): Quirks {
  return { ...(fixedCiphers && { fixedCiphers }), ...(onTlsBytes && { onTlsBytes }), ...(holdRaw && { holdRaw }) };
}
