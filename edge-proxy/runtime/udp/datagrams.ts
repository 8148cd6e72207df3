/** UDP sockets on node:dgram, which Node, Bun and Deno have. */
import dgram from 'node:dgram';
import { isIPv6 } from 'node:net';
import { ListenError } from '../listen-error.ts';
import { takeHanded } from '../process/handed-sockets.ts';
import type { DatagramHandler, DatagramOptions, DatagramSocket } from '../runtime.ts';

export async function openDatagrams(
  { address, port, peer }: DatagramOptions,
  handler: DatagramHandler,
): Promise<DatagramSocket> {
  const socket = isIPv6(address)
    ? dgram.createSocket({ type: 'udp6', ipv6Only: true })
    : dgram.createSocket({ type: 'udp4' });
  try {
    const descriptor = port === 0 ? undefined : takeHanded('udp', address, port);
    const at =
      descriptor === undefined ? { address, port, exclusive: true } : ({ fd: descriptor } as dgram.BindOptions);
    await settled(socket, 'listening', () => socket.bind(at));
    if (peer) await settled(socket, 'connect', () => socket.connect(peer.port, peer.address));
  } catch (error) {
    close(socket);
    throw new ListenError(address, port, error as NodeJS.ErrnoException);
  }
  const bound = socket.address();
  let isOpen = true;
  socket.on('message', (bytes, from) => {
    if (isOpen) handler.onDatagram(bytes, { address: from.address, port: from.port });
  });
  socket.on('error', (error) => {
    if (isOpen) handler.onError(error);
  });
  const sent = (error: Error | null) => {
    if (error && isOpen) handler.onError(error);
  };
  return {
    address: bound.address,
    port: bound.port,
    send(bytes, to) {
      if (!isOpen) return;
      try {
        if (to) socket.send(bytes, to.port, to.address, sent);
        else socket.send(bytes, sent);
      } catch (error) {
        handler.onError(error as Error);
      }
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      close(socket);
    },
  };
}

function settled(socket: dgram.Socket, event: 'listening' | 'connect', start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      socket.off('error', failed);
      resolve();
    };
    const failed = (error: Error) => {
      socket.off(event, done);
      reject(error);
    };
    socket.once(event, done).once('error', failed);
    start();
  });
}

/** Errors that come late, of a datagram that was sent before, have no reader. */
function close(socket: dgram.Socket): void {
  socket.on('error', () => {});
  try {
    socket.close();
  } catch {
    // It was closed by its error.
  }
}
