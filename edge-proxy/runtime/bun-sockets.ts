/** Listening and dialling in plaintext on Bun's own sockets. TLS stays on node:tls, whose guarantees verifyPeer needs. */
import { type BunSocket, NativeConnection } from './bun-connection.ts';
import { ListenError } from './listen-error.ts';
import type { Connection, ConnectionHandler, DialTarget, Listening, ListenOptions } from './runtime.ts';

interface SocketEvents {
  open(socket: BunSocket): void;
  data(socket: BunSocket, bytes: Uint8Array): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  close(socket: BunSocket, error?: Error): void;
  error(socket: BunSocket, error: Error): void;
  connectError?(socket: BunSocket, error: Error): void;
}
interface BunSockets {
  listen(options: {
    hostname: string;
    port: number;
    /** Of a socket that listens already. */
    fd?: number;
    allowHalfOpen: boolean;
    reusePort: boolean;
    socket: SocketEvents;
  }): { readonly hostname: string | undefined; readonly port: number | undefined; stop(closeActive: boolean): void };
  connect(options: {
    hostname: string;
    port: number;
    localAddress?: string;
    allowHalfOpen: boolean;
    data: NativeConnection;
    socket: SocketEvents;
  }): Promise<unknown>;
}

const bun = (globalThis as { Bun?: BunSockets }).Bun;

/** Handlers are shared by all sockets; a socket carries its connection. */
const events: Omit<SocketEvents, 'open'> = {
  data: (socket, bytes) => socket.data?.onData(bytes),
  drain: (socket) => socket.data?.onDrain(),
  end: (socket) => socket.data?.onEnd(),
  close: (socket, error) => socket.data?.onClose(error),
  error: (socket, error) => socket.data?.destroy(error),
};

/** @throws ListenError in one line: address, port, reason */
export async function nativeListen(
  options: ListenOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listening> {
  try {
    const server = bun!.listen({
      hostname: options.address,
      port: options.port,
      allowHalfOpen: true,
      reusePort: options.reusePort ?? false,
      ...(options.descriptor === undefined ? {} : { fd: options.descriptor }),
      socket: {
        ...events,
        open(socket) {
          const connection = new NativeConnection(undefined);
          socket.data = connection;
          // A client may be gone before it is accepted; it then has no address.
          if (!socket.remoteAddress) socket.terminate();
          else if (connection.attach(socket)) onConnection(connection);
        },
      },
    });
    return {
      // Of a descriptor it knows neither.
      address: server.hostname ?? options.address,
      port: server.port ?? options.port,
      async close() {
        server.stop(false);
      },
    };
  } catch (error) {
    throw new ListenError(options.address, options.port, error as { code?: string; message: string });
  }
}

/** See Runtime.connect, without TLS. */
export function nativeConnect(
  to: DialTarget,
  handler: ConnectionHandler,
  onOpen: (connection: Connection) => void,
): Connection {
  const connection = new NativeConnection(handler);
  const failed = (error: unknown) => connection.onClose(error instanceof Error ? error : new Error(String(error)));
  bun!
    .connect({
      hostname: to.address,
      port: to.port,
      ...(to.localAddress ? { localAddress: to.localAddress } : {}),
      allowHalfOpen: true,
      data: connection,
      socket: {
        ...events,
        open(socket) {
          if (!connection.attach(socket)) return;
          if (to.keepAliveMs !== undefined) socket.setKeepAlive(true, to.keepAliveMs);
          try {
            if (to.preface) connection.write(to.preface(connection));
            onOpen(connection);
          } catch (error) {
            connection.destroy(error as Error);
          }
        },
        connectError: (_, error) => failed(error),
      },
    })
    .catch(failed);
  return connection;
}
