/** An application that answers with what it was sent: node worker-echo.ts PORT. `/gzip` compressed, two of three `/flaky` with 500. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';

let flaky = 0;
const server = createServer({ keepAliveTimeout: 0 }, (incoming, outgoing) => {
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  incoming.on('end', () => {
    const { method, url, headers } = incoming;
    const status = url === '/flaky' && ++flaky % 3 !== 0 ? 500 : 200;
    const text = JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() });
    const compressed = url === '/gzip';
    const body = compressed ? gzipSync(text) : Buffer.from(text);
    outgoing.writeHead(status, {
      'content-type': 'application/json',
      'content-length': body.length,
      ...(compressed && { 'content-encoding': 'gzip' }),
    });
    outgoing.end(body);
  });
});

/** A WebSocket that sends each short text back. */
server.on('upgrade', (incoming, socket) => {
  const accept = createHash('sha1')
    .update(`${incoming.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on('error', () => {});
  socket.on('data', (frame: Buffer) => {
    if (frame[0] !== 0x81) {
      socket.end();
      return;
    }
    const length = frame[1]! & 0x7f;
    const mask = frame.subarray(2, 6);
    const text = frame.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]!);
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
