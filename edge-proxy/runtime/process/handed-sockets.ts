/**
 * Sockets that the process before this one hands over (hot restart): where this process is to listen at the address of one of
 * them, it takes that one, with the connections that wait in it.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import process from 'node:process';
import { heldSockets, socketKey, type Transport } from './held-sockets.ts';

/** Descriptors, joined by commas. */
export const HANDED_VARIABLE = 'TULLE_HANDED_SOCKETS';

/** Key of a socket -> its descriptor. */
const handed = new Map<string, number>();
const numbers = new Set((process.env[HANDED_VARIABLE] ?? '').split(',').filter(Boolean).map(Number));
// Not for workers, nor for the application.
delete process.env[HANDED_VARIABLE];
if (numbers.size > 0)
  for (const { descriptor, key } of heldSockets()) if (numbers.has(descriptor)) handed.set(key, descriptor);

/** Those that were handed over to this process: its children must not have them. */
export const handedDescriptors: readonly number[] = [...numbers];

/** @returns undefined: none was handed over for this address, or it was taken */
export function takeHanded(transport: Transport, address: string, port: number): number | undefined {
  if (handed.size === 0) return undefined;
  const key = socketKey(transport, address, port);
  const descriptor = key === undefined ? undefined : handed.get(key);
  if (key !== undefined) handed.delete(key);
  return descriptor;
}

/** Closes those that nothing took: nothing would accept what waits in them. */
export async function closeUntaken(): Promise<void> {
  const left = [...handed];
  handed.clear();
  await Promise.all(
    left.map(([key, descriptor]) => (key.startsWith('tcp/') ? closeTcp(descriptor) : closeUdp(descriptor))),
  );
}

/** A runtime closes a descriptor only as a socket of its own. */
function closeTcp(descriptor: number): Promise<void> {
  const server = net.createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once('error', () => resolve());
    server.listen({ fd: descriptor }, () => {
      server.close();
      resolve();
    });
  });
}

function closeUdp(descriptor: number): Promise<void> {
  const socket = dgram.createSocket('udp4');
  return new Promise((resolve) => {
    socket.once('error', () => resolve());
    socket.bind({ fd: descriptor } as dgram.BindOptions, () => {
      socket.close();
      resolve();
    });
  });
}
