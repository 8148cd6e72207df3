/**
 * Sends bytes to an echo and reads them slowly: `tunnel-echo-client.ts ADDRESS PORT BYTES`. Prints how many came back as they
 * were sent, behind its own half-close.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

const [address = '', port = '', bytes = ''] = process.argv.slice(2);
const size = Number(bytes);
const [sent, received] = [createHash('sha256'), createHash('sha256')];
let [written, got] = [0, 0];
const socket = connect({ host: address, port: Number(port), allowHalfOpen: true });

const piece = (at: number): Buffer => {
  const block = Buffer.alloc(Math.min(65536, size - at));
  for (let i = 0; i + 4 <= block.length; i += 4) block.writeUInt32LE((at + i) >>> 0, i);
  return block;
};
const pump = (): void => {
  while (written < size) {
    const block = piece(written);
    written += block.length;
    sent.update(block);
    if (!socket.write(block)) return;
  }
  socket.end();
};
socket.on('connect', pump);
socket.on('drain', pump);
socket.on('data', (data) => {
  got += data.length;
  received.update(data);
  // The reader is slower than what is between: everything there has to wait for it.
  socket.pause();
  setTimeout(() => socket.resume(), 1);
});
socket.on('error', (error) => console.log(`failed: ${error.message}`));
socket.on('close', () => {
  console.log(
    got === size && sent.digest('hex') === received.digest('hex') ? `echoed ${got}` : `lost: ${got} of ${size}`,
  );
});
