/**
 * An upstream as a program: `{"kind","bytes","port","tls"}` as its argument. http answers `bytes` to every request;
 * websocket echoes messages of `bytes`; source sends without end to each client; the others are of http2/upstream.ts.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { serveHttp2 } from './http2/upstream.ts';
import type { UpstreamOptions } from './upstreams.ts';

const options = JSON.parse(process.argv[2]!) as UpstreamOptions & { port: number };
const headEnd = Buffer.from('\r\n\r\n');

function http(socket: net.Socket): void {
  const answer = Buffer.from(
    `HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: ${options.bytes}\r\n\r\n${'x'.repeat(options.bytes)}`,
  );
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
    for (let end = rest.indexOf(headEnd); end >= 0; end = rest.indexOf(headEnd)) {
      socket.write(answer);
      rest = rest.subarray(end + 4);
    }
  });
}

/** Frames of one size both ways (RFC 6455 section 5.2); a client's mask is zero, so its bytes are the message. */
function webSocket(socket: net.Socket): void {
  const size = options.bytes;
  const answer = Buffer.alloc(4 + size, 'x');
  answer.set([0x82, 126, size >> 8, size & 0xff]);
  let received = 0;
  socket.once('data', (head) => {
    const key = /\r\nsec-websocket-key: *([^\r]+)\r\n/i.exec(head.toString('latin1'))?.[1] ?? '';
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on('data', (bytes) => {
      received += bytes.length;
      for (; received >= 8 + size; received -= 8 + size) socket.write(answer);
    });
  });
}

function source(socket: net.Socket): void {
  const piece = Buffer.alloc(64 * 1024, 'x');
  const pump = () => {
    while (socket.write(piece)) {
      /* until the kernel takes no more */
    }
  };
  socket.on('drain', pump);
  socket.resume();
  pump();
}

const http2 = (socket: net.Socket) => serveHttp2(socket, options);
const serve = {
  ...{ http, websocket: webSocket, source },
  ...{ h2: http2, grpc: http2, 'grpc-stream': http2, 'h2-source': http2, 'h2-sink': http2 },
}[options.kind];
const accept = (socket: net.Socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  serve(socket);
};
const server = options.tls
  ? tls.createServer(
      {
        cert: readFileSync(options.tls.cert),
        key: readFileSync(options.tls.key),
        ca: readFileSync(options.tls.roots),
        requestCert: true,
        rejectUnauthorized: true,
        ...(serve === http2 && { ALPNProtocols: ['h2'] }),
      },
      accept,
    )
  : net.createServer(accept);
server.listen({ port: options.port, host: '127.0.0.1', backlog: 4096 });
