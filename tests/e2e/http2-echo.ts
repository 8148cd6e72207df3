/**
 * An application that speaks `h2c` (prior knowledge), `http1`, or `both`, as its first argument says: `http2-echo.ts SPEAKS PORT`.
 * Requests are answered with what reached it, as JSON; gRPC requests and WebSocket tunnels get their bytes back; what is no HTTP
 * is answered `bytes:` and itself.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';

const [speaks, port] = process.argv.slice(2);

const h2c = http2.createServer();
h2c.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  if (headers['content-type']?.startsWith('application/grpc')) {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    const trailers = { 'grpc-status': '0', 'x-peer': headers['x-forwarded-client-cert'] };
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.pipe(stream);
    return;
  }
  const { ':method': method, ':path': path } = headers;
  stream.resume().on('end', () => {
    stream.respond({ ':status': 200 });
    stream.end(JSON.stringify({ version: '2.0', method, path, headers }));
  });
});

const http1 = createServer({ keepAliveTimeout: 0 }, (request: IncomingMessage, response: ServerResponse) => {
  const { httpVersion: version, method, url: path, headers } = request;
  request.resume().on('end', () => response.end(JSON.stringify({ version, method, path, headers })));
});
http1.on('upgrade', (_: IncomingMessage, socket: net.Socket) => {
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  socket.pipe(socket);
});

/** Hands a connection to the server of what it speaks. */
const byFirstBytes = net.createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (bytes) => {
    const text = bytes.toString('latin1');
    const server = text.startsWith('PRI ') ? h2c : / HTTP\/1\.\d\r\n/.test(text) ? http1 : undefined;
    if (server === undefined) {
      socket.end(`bytes:${text}`);
      return;
    }
    const inner = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    inner.on('error', () => socket.destroy());
    socket.on('close', () => inner.destroy());
    inner.write(bytes);
    socket.pipe(inner).pipe(socket);
  });
});

if (speaks === 'both') for (const server of [h2c, http1]) server.listen(0, '127.0.0.1');
const server = speaks === 'h2c' ? h2c : speaks === 'http1' ? http1 : byFirstBytes;
server.listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
