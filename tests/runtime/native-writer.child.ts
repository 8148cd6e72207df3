/**
 * Writes more than the kernel takes through the outlet of a Bun socket, from memory that is overwritten after each write.
 * Prints the number of bytes that arrive, and how many of them are of another value than was written.
 */
import { once } from 'node:events';
import net from 'node:net';
import { nativeWriter } from '../../edge-proxy/runtime/writes/native-writer.ts';
import { Outlet } from '../../edge-proxy/runtime/writes/outlet.ts';

const SIZE = 8 * 1024 * 1024;
const ROUNDS = 4;

const server = net.createServer((peer) => peer.pause()).listen(0, '127.0.0.1');
await once(server, 'listening');
const accepted = once(server, 'connection') as Promise<[net.Socket]>;
const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
await once(socket, 'connect');
const [peer] = await accepted;
const make = nativeWriter(socket);
if (!make) throw new Error('the socket cannot be written at its handle');
let copies: boolean | undefined;
let room = Promise.withResolvers<void>();
const outlet = new Outlet(
  (owner) => {
    const writer = make(owner);
    copies = writer.copies;
    return writer;
  },
  { onRoom: () => room.resolve(), onAllSent: () => void socket.end() },
);
const memory = Buffer.alloc(SIZE);
let [arrived, wrong, waits] = [0, 0, 0];
peer.on('data', (bytes) => {
  for (const byte of bytes) if (byte !== 1 + Math.floor(arrived++ / SIZE)) wrong++;
});
const ended = once(peer, 'end');
for (let round = 1; round <= ROUNDS; round++) {
  memory.fill(round);
  const hasRoom = outlet.write(memory);
  // What has not gone out must be a copy.
  memory.fill(0xff);
  if (hasRoom) continue;
  waits++;
  peer.resume();
  await room.promise;
  room = Promise.withResolvers();
  peer.pause();
}
outlet.end();
peer.resume();
await ended;
console.log(JSON.stringify({ copies, arrived, wrong, waits }));
process.exit(0);
